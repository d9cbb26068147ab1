/**
 * A runtime without models, for simulation: how each release behaves stands in a table, time comes
 * from the injected clock and luck from the injected generator. It keeps the promises of the port
 * that node-runtime.ts keeps (one contract suite holds both), and costs a few random numbers per
 * device and interval: counts are drawn in aggregate, not per request.
 */
import type { Prng } from '../../shared/kernel/prng.ts'
import { ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Qualification } from '../../shared/model/device.ts'
import { checkCompatible } from '../../shared/onnx/compatibility.ts'
import { emptyWindow, windowShape } from '../../shared/sketch/window.ts'
import type {
  ArmWindow,
  Clock,
  ClosedInterval,
  ResolvedRelease,
  Runtime,
  RuntimeEvent,
  ServedModel,
  ServedRelease,
  ServeOutcome,
  ServePlan,
} from '../ports.ts'
import { type Behaviour, fillShadow, fillWindow, HEALTHY } from './fake-behaviour.ts'
import { drawBinomial, drawPoisson } from './fake-counts.ts'

export interface FakeRuntimeOptions {
  readonly clock: Clock
  readonly prng: Prng
  /** By digest of the artifact; a release that is not listed is healthy. */
  readonly behaviours: ReadonlyMap<string, Behaviour>
  /** Mean of a Poisson count, per model. */
  readonly requestsPerS: number
}

export interface FakeRuntime extends Runtime {
  /** The host dies, as by `kill -9`: what was counted in the open interval is lost. */
  crashHost(): void
  /** A release fails while it serves. */
  breakRelease(sha256: string, problem: Problem): void
}

const QUALIFY_MS = 400
const LOAD_MS = 100

export function createFakeRuntime(options: FakeRuntimeOptions): FakeRuntime {
  const { clock } = options
  const handlers: ((event: RuntimeEvent) => void)[] = []
  let plan: ServePlan = { generation: -1, windowMs: 60_000, models: [] }
  let openedAtMs = clock.nowMs()
  let cancelTimer = (): void => undefined
  let isClosed = false
  const emit = (event: RuntimeEvent): void => {
    if (!isClosed) for (const handler of handlers) handler(event)
  }

  function closeIntervals(): void {
    if (plan.generation < 0) return
    const atMs = clock.nowMs()
    const durationMs = Math.max(0, atMs - openedAtMs)
    for (const model of plan.models) {
      const arms = countArms(options, model, durationMs)
      if (arms === undefined) continue
      const interval = intervalOf(plan, model, openedAtMs, durationMs, arms)
      emit({ kind: 'interval', interval })
    }
    openedAtMs = atMs
  }

  function openNext(): void {
    cancelTimer()
    if (isClosed || plan.generation < 0) return
    cancelTimer = clock.after(plan.windowMs, () => {
      closeIntervals()
      openNext()
    })
  }

  return {
    qualify(resolved, signal) {
      return later(clock, QUALIFY_MS, () => {
        const behaviour = behaviourOf(options, resolved)
        const { model } = resolved.release
        const current = plan.models.find((served) => served.model === model)?.current
        return qualifyFake(resolved, behaviour, current?.resolved, signal)
      })
    },
    serve(next) {
      if (isClosed) return Promise.resolve({ served: false, broken: [] })
      closeIntervals()
      const { usable, broken } = withoutBroken(options, next, plan)
      plan = usable
      openNext()
      return later(
        clock,
        LOAD_MS,
        (): ServeOutcome => (broken.length === 0 ? { served: true } : { served: false, broken }),
      )
    },
    onEvent: (handler) => void handlers.push(handler),
    crashHost() {
      openedAtMs = clock.nowMs()
      const problem = { code: 'host.killed', message: 'The model host was killed from outside.' }
      emit({ kind: 'hostRestarted', problem })
    },
    breakRelease: (sha256, problem) => emit({ kind: 'releaseBroke', sha256, problem }),
    close() {
      closeIntervals()
      cancelTimer()
      isClosed = true
      return Promise.resolve()
    },
  }
}

function behaviourOf({ behaviours }: FakeRuntimeOptions, { release }: ResolvedRelease): Behaviour {
  return behaviours.get(release.sha256) ?? HEALTHY
}

/** @returns undefined when there was nothing to count. */
function countArms(
  options: FakeRuntimeOptions,
  { current, candidate, trafficShare, shadow }: ServedModel,
  durationMs: number,
): ArmWindow[] | undefined {
  const { prng, requestsPerS } = options
  if (current === null) return undefined
  const requests = drawPoisson(prng, (requestsPerS * durationMs) / 1000)
  if (requests === 0) return undefined
  const toCandidate = candidate === null ? 0 : drawBinomial(prng, requests, trafficShare / 1e6)
  const arms = [armOf(options, 'baseline', current, requests - toCandidate)]
  if (candidate !== null) {
    const canary = armOf(options, 'canary', candidate, toCandidate)
    const compared = drawBinomial(prng, requests - toCandidate, shadow / 1e6)
    fillShadow(canary.window, compared, behaviourOf(options, candidate.resolved), prng)
    arms.push(canary)
  }
  return arms
}

function armOf(
  options: FakeRuntimeOptions,
  arm: ArmWindow['arm'],
  { resolved }: ServedRelease,
  n: number,
): ArmWindow {
  const { manifest, variant } = resolved
  const shape = windowShape(manifest)
  const behaviour = behaviourOf(options, resolved)
  const window = fillWindow(emptyWindow(shape), shape, n, behaviour, options.prng)
  return { arm, version: manifest.version, variant: variant.name, window }
}

function later<T>(clock: Clock, delayMs: number, make: () => T): Promise<T> {
  return new Promise((resolve) => clock.after(delayMs, () => resolve(make())))
}

function qualifyFake(
  { release, manifest }: ResolvedRelease,
  behaviour: Behaviour,
  current: ResolvedRelease | undefined,
  signal: AbortSignal,
): Result<Qualification> {
  if (signal.aborted) return refuse('qualify.cancelled', 'The qualification was cancelled.')
  if (current !== undefined && current.release.sha256 !== release.sha256) {
    const compatible = checkCompatible(manifest, current.manifest)
    if (!compatible.ok) return compatible
  }
  if (behaviour.qualificationProblem !== null) {
    return { ok: false, error: behaviour.qualificationProblem }
  }
  return ok({
    sha256: release.sha256,
    runtimeVersion: 'simulated',
    chosen: 'cpu',
    attempts: [
      { provider: 'cpu', options: '', outcome: 'chosen', reason: '', goldenDifferenceMax: 0 },
    ],
    loadMs: LOAD_MS,
    firstRunMs: behaviour.latencyMsMedian,
    steadyMsP50: behaviour.latencyMsMedian,
    steadyMsP95: behaviour.latencyMsMedian * 2,
    residentMb: 100,
    threads: 1,
  })
}

/** What cannot be loaded leaves its slot; a model without a current keeps what served it. */
function withoutBroken(
  options: FakeRuntimeOptions,
  next: ServePlan,
  before: ServePlan,
): { usable: ServePlan; broken: { sha256: string; problem: Problem }[] } {
  const broken: { sha256: string; problem: Problem }[] = []
  const usable = (served: ServedRelease | null): ServedRelease | null => {
    const problem = served === null ? null : behaviourOf(options, served.resolved).loadProblem
    if (served === null || problem === null) return served
    broken.push({ sha256: served.resolved.release.sha256, problem })
    return null
  }
  const models = next.models.flatMap((model) => {
    const current = usable(model.current)
    const kept = before.models.find((served) => served.model === model.model)
    if (current === null) return kept === undefined ? [] : [kept]
    return [{ ...model, current, candidate: usable(model.candidate) }]
  })
  return { usable: { ...next, models }, broken }
}

function intervalOf(
  { generation }: ServePlan,
  { model, rollout, candidate, trafficShare }: ServedModel,
  startedAtMs: number,
  durationMs: number,
  arms: readonly ArmWindow[],
): ClosedInterval {
  const share = candidate === null ? 0 : trafficShare
  return { model, generation, rollout, share, startedAtMs, durationMs, arms }
}
