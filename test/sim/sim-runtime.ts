/**
 * Between the agent and the fake runtime: what a model host does with files. It hashes the very bytes
 * that it would load, tells what it loads and serves, and can crash.
 */
import type { ResolvedRelease, Runtime, ServedRelease, ServePlan } from '../../agent/ports.ts'
import type { FakeRuntime } from '../../agent/runtime/fake-runtime.ts'
import type { Prng } from '../../shared/kernel/prng.ts'
import { type Problem, refuse } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { Disk } from './disk.ts'
import type { Weather } from './faults.ts'
import type { Observe } from './observations.ts'
import type { Power } from './power.ts'
import type { Sabotage } from './sabotage.ts'

export interface SimRuntimeParts {
  readonly device: string
  readonly fake: FakeRuntime
  readonly disk: Disk
  readonly power: Power
  readonly weather: Weather
  readonly random: Prng
  readonly observe: Observe
  readonly sabotage: Sabotage
}

const HOST_CRASH_EVERY_MS = 2 * 3_600_000

export function createSimRuntime(parts: SimRuntimeParts): Runtime {
  const { fake, disk, power, weather, random, observe, device } = parts
  const mayLoad = (bytes: Uint8Array, sha256: string): boolean =>
    parts.sabotage.loadsUnverified === true || sha256Hex(bytes) === sha256
  scheduleHostCrash()

  /** What the loader gets, or why it gets nothing. */
  function load(sha256: string): Problem | undefined {
    const bytes = disk.artifacts.get(sha256)
    if (bytes === undefined) return { code: 'artifact.missing', message: 'It is not here.' }
    if (!mayLoad(bytes, sha256)) {
      return { code: 'artifact.digest', message: 'The file is not the one that was verified.' }
    }
    observe({ kind: 'loaded', device, sha256: sha256Hex(bytes) })
    return undefined
  }

  function brokenIn(plan: ServePlan): { sha256: string; problem: Problem }[] {
    const releases = plan.models.flatMap((model) => [model.current, model.candidate])
    return releases.flatMap((served) => {
      const problem = served === null ? undefined : load(shaOf(served))
      return served === null || problem === undefined ? [] : [{ sha256: shaOf(served), problem }]
    })
  }

  function scheduleHostCrash(): void {
    const intensity = weather.of('host_crash')
    if (intensity === 0) return
    power.life.after(random.exponential(HOST_CRASH_EVERY_MS / intensity), () => {
      if (weather.of('host_crash') > 0) fake.crashHost()
      scheduleHostCrash()
    })
  }

  async function qualify(resolved: ResolvedRelease, signal: AbortSignal) {
    power.boundary('qualify: begin')
    const flaw = load(resolved.release.sha256)
    if (flaw !== undefined) return refuse(flaw.code, flaw.message)
    if (random.chance(weather.of('busy') * 0.5)) {
      await power.life.wait(1_000)
      return refuse('busy.memory', 'There is no memory for another process now.')
    }
    const qualified = await fake.qualify(resolved, signal)
    power.boundary('qualify: done')
    return qualified
  }

  return {
    qualify,
    async serve(plan) {
      power.boundary('serve: begin')
      const broken = brokenIn(plan)
      if (broken.length > 0) return { served: false, broken }
      const models = plan.models.map(({ model, current, candidate }) => ({
        model,
        current: current && versionOf(current),
        candidate: candidate && versionOf(candidate),
      }))
      if (power.life.alive) {
        observe({ kind: 'serving', device, generation: plan.generation, models })
      }
      const outcome = await fake.serve(plan)
      power.boundary('serve: done')
      return outcome
    },
    onEvent(handler) {
      fake.onEvent((event) => {
        if (!power.life.alive) return
        if (event.kind === 'interval') {
          const requests = event.interval.arms.reduce((sum, { window }) => sum + window.n, 0)
          observe({ kind: 'counted', device, requests })
        }
        handler(event)
      })
    },
    close: () => fake.close(),
  }
}

function shaOf({ resolved }: ServedRelease): string {
  return resolved.release.sha256
}

function versionOf({ resolved }: ServedRelease): string {
  return resolved.release.version
}
