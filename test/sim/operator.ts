/**
 * The person at the console: starts one rollout after the other, resumes what paused, and asks again
 * when a command got no answer. Knows only the application's interface.
 */
import type { Actor, Application } from '../../controller/application.ts'
import type { RolloutResource } from '../../shared/api/resources.ts'
import type { Result } from '../../shared/kernel/result.ts'
import { type RolloutSpec, rolloutSpecSchema, type Wave } from '../../shared/rollout/spec.ts'
import { FINAL_STATES } from '../../shared/rollout/state.ts'
import { MODEL } from './publisher.ts'
import type { World } from './world.ts'

const ADA: Actor = { name: 'ada', role: 'admin' }
const LOOKS_EVERY_MS = 20_000

export interface Operator {
  /** True when every planned rollout has come to an end. */
  isDone(): boolean
}

export function specOf(candidate: string, baseline: string | null): RolloutSpec {
  const wave = (percent: number, trafficPercent: number): Wave => ({
    percent,
    trafficPercent,
    shadowPercent: 0,
    minSeconds: 60,
    maxSeconds: 3_600,
  })
  return rolloutSpecSchema.parse({
    model: MODEL,
    candidate,
    baseline,
    waves: baseline === null ? [wave(100, 100)] : [wave(20, 25), wave(100, 50)],
    policy: { minRequests: 200, minRequestsPerProfile: 20, minLabels: 20 },
    installFailureShareMax: 0.4,
  })
}

/** @param application undefined while no controller runs. */
export function startOperator(
  world: World,
  application: () => Application | undefined,
  versions: readonly string[],
): Operator {
  let planned = [...versions]
  let done = false
  /** The controller that was asked and has not answered; one that died never does. */
  let asked: Application | undefined

  async function act(controller: Application): Promise<void> {
    const rollouts = await controller.listRollouts(ADA)
    const open = rollouts.find(({ state }) => !FINAL_STATES.includes(state))
    if (open !== undefined) return help(controller, open)
    planned = versions.filter((version) => !rollouts.some((r) => r.spec.candidate === version))
    const [next] = planned
    done = next === undefined
    if (next === undefined) return
    const baseline = rollouts
      .filter(({ state }) => state === 'promoted')
      .map(({ spec }) => spec.candidate)
      .toSorted()
      .at(-1)
    answered('create', await controller.createRollout(specOf(next, baseline ?? null), ADA))
  }

  async function help(controller: Application, { id, state }: RolloutResource): Promise<void> {
    const command = state === 'ready' ? 'start' : state === 'paused' ? 'resume' : undefined
    if (command === undefined) return
    const options = { full: false, note: '' }
    answered(command, await controller.commandRollout(id, command, options, ADA))
  }

  function answered(what: string, result: Result<RolloutResource>): void {
    const text = result.ok ? `${result.value.spec.candidate} is ${result.value.state}` : 'refused'
    world.trace.line('operator', `${what}: ${text} ${result.ok ? '' : result.error.code}`)
  }

  function look(): void {
    const controller = application()
    if (controller !== undefined && controller !== asked) {
      asked = controller
      act(controller)
        .catch((cause) => world.trace.line('operator', `no answer: ${String(cause)}`))
        .finally(() => {
          if (asked === controller) asked = undefined
        })
    }
    world.after(LOOKS_EVERY_MS, look)
  }

  world.after(LOOKS_EVERY_MS, look)
  return { isDone: () => done }
}
