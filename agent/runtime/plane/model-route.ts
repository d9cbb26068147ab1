/**
 * Where requests for one model go under the plan in force: which releases stand in its slots, which
 * share the candidate draws, and what the local guard took out of them. A new plan makes a new route,
 * and the host swaps routes in one assignment.
 *
 * Invariants: a request stays with the route, release and recorder it was drawn from, so sessions
 * outlive the last request that uses them and an interval never spans a change of share or of an arm;
 * what the guard stopped stands in no slot any more; the draw is replayable, its generator seeded by
 * device, boot, host incarnation, generation and model.
 */
import { createPrng } from '../../../shared/kernel/prng.ts'
import type { Problem } from '../../../shared/kernel/result.ts'
import { unitHash } from '../../../shared/kernel/stable-hash.ts'
import { isSameVersion } from '../../../shared/model/names.ts'
import type { Arm } from '../../../shared/protocol/messages.ts'
import type { ClosedInterval } from '../../ports.ts'
import type { Drawing, HostModel } from '../host/host-protocol.ts'
import { createIntervalRecorder, type IntervalRecorder } from './interval-recorder.ts'
import type { LiveRelease } from './live-release.ts'
import { GUARD_START, type GuardedRequest, guardProblem, watchRequest } from './local-guard.ts'
import { createRouteSlots, type RouteSlots, type SlotContents } from './route-slots.ts'

export interface Draw {
  readonly arm: Arm
  readonly live: LiveRelease
  /** Undefined for forced arms, versions and keyed sessions: they bias what is compared. */
  readonly recorder: IntervalRecorder | undefined
}

export interface Wish {
  readonly arm?: Arm | undefined
  readonly key?: string | undefined
  readonly version?: string | undefined
}

export interface ModelRoute {
  /** What the local guard stopped stands in none of them. */
  readonly slots: Pick<RouteSlots, keyof SlotContents | 'rate' | 'answering'>
  /** What would answer who asks for this version; `current` where none is asked for. */
  named(version: string | undefined): LiveRelease | undefined
  /** @returns undefined when no slot that answers holds the wished version. */
  draw(wish: Wish): Draw | undefined
  /** Whether a request that `current` answered is computed by the candidate as well. */
  drawShadow(): boolean
  /** How these are drawn; undefined where nothing is, for want of a candidate. */
  drawing(): Drawing | undefined
  /** Feeds the local guard; @returns why this release must leave, at most once for each. */
  watch(live: LiveRelease, request: GuardedRequest): Problem | undefined
  /** Labels and shadow runs count here. */
  recorder(): IntervalRecorder
  flush(): readonly ClosedInterval[]
  /** Around each use of a session of this route. */
  enter(): void
  leave(): void
  /** No new requests; the sessions are let go when the last one leaves. */
  retire(): void
  /** True once retired and left by everyone. */
  drained(): boolean
}

export interface RouteParts {
  readonly model: HostModel
  readonly generation: number
  /** What names this start of the host. */
  readonly seed: string
  /** Places sessions; the same for all hosts of a device and over their restarts. Absent: `seed`. */
  readonly sessionSeed?: string | undefined
  readonly current: LiveRelease
  readonly candidate: LiveRelease | null
  readonly previous: LiveRelease | null
  readonly others?: readonly LiveRelease[]
  readonly wallClockMs: () => number
}

const MILLION = 1_000_000

export function createModelRoute(parts: RouteParts): ModelRoute {
  const { model, current, candidate, previous, others = [] } = parts
  const slots = createRouteSlots({ current, candidate, previous, others })
  const holding = holdReleases([...slots.answering(), ...(previous === null ? [] : [previous])])
  const seed = `${parts.seed}/${parts.generation}/${model.model}`
  const prng = createPrng(seed)
  // A session that drew the candidate keeps it while the share grows from wave to wave.
  const phase = model.rollout?.id ?? `${parts.generation}`
  const sessions = `${parts.sessionSeed ?? parts.seed}/${phase}/${model.model}`
  let share = candidate === null ? 0 : model.trafficShare
  const recorders = [recorderOf(parts, share, slots)]
  const guards = { current: GUARD_START, candidate: GUARD_START }
  const recorder = (): IntervalRecorder => recorders.at(-1)!

  function drawn(arm: Arm, counted: boolean): Draw {
    const counting = counted ? recorder() : undefined
    if (arm === 'baseline' || slots.candidate === null) {
      return { arm: 'baseline', live: slots.current, recorder: counting }
    }
    return { arm, live: slots.candidate, recorder: counting }
  }

  function stop(live: LiveRelease): void {
    slots.stop(live)
    if (slots.candidate === null) share = 0
    if (live === current) guards.current = GUARD_START
    // Another share, or another release in an arm, is another interval.
    recorders.push(recorderOf(parts, share, slots))
  }

  function named(version: string | undefined): LiveRelease | undefined {
    if (version === undefined) return slots.current
    return slots.answering().find((live) => isSameVersion(version, live.version))
  }

  return {
    slots,
    named,
    recorder,
    ...holding,
    draw({ arm, key, version }) {
      if (version !== undefined) {
        const live = named(version)
        if (live !== undefined && live === slots.candidate) return drawn('canary', false)
        return live && { arm: 'baseline', live, recorder: undefined }
      }
      if (arm !== undefined) return drawn(arm, false)
      if (key !== undefined) {
        return drawn(unitHash(sessions, key) * MILLION < share ? 'canary' : 'baseline', false)
      }
      return drawn(share > 0 && prng.below(MILLION) < share ? 'canary' : 'baseline', true)
    },
    drawShadow() {
      if (slots.candidate === null || model.shadow === 0) return false
      return prng.below(MILLION) < model.shadow
    },
    drawing() {
      if (slots.candidate === null) return undefined
      const { version: candidate } = slots.candidate
      const { shadow } = model
      const asked = { candidate, trafficShare: share, shadow }
      return { model: model.model, generation: parts.generation, seed, ...asked }
    },
    watch(live, request) {
      // What was on its way when its release was stopped says nothing of what stands there now.
      if (slots.hasLeft(live)) return undefined
      const slot = live === slots.candidate ? 'candidate' : 'current'
      const levels = live.manifest.serviceLevels
      guards[slot] = watchRequest(guards[slot], request, levels, slot, guards.current)
      if (slots.isLast(live)) return undefined
      const problem = guardProblem(guards[slot], levels)
      if (problem !== undefined) stop(live)
      return problem
    },
    flush: () => recorders.map((each) => each.flush()).filter((each) => each !== undefined),
  }
}

function recorderOf(
  { model, generation, wallClockMs }: RouteParts,
  share: number,
  { current, candidate }: Pick<RouteSlots, 'current' | 'candidate'>,
): IntervalRecorder {
  const recorded = (arm: Arm, { sha256, version, variant, shape }: LiveRelease) => ({
    arm,
    sha256,
    version,
    variant: variant.name,
    shape,
  })
  const arms = [recorded('baseline', current)]
  if (candidate !== null) arms.push(recorded('canary', candidate))
  const plan = { model: model.model, generation, rollout: model.rollout, share, arms }
  return createIntervalRecorder(plan, wallClockMs)
}

/** One hold on each session for the whole route, given up when the last request left. */
function holdReleases(
  releases: readonly LiveRelease[],
): Pick<ModelRoute, 'enter' | 'leave' | 'retire' | 'drained'> {
  let pending = 0
  let retired = false
  for (const live of releases) live.hold()
  const letGoIfDrained = (): void => {
    if (retired && pending === 0) for (const live of releases) live.letGo()
  }
  return {
    enter: () => {
      pending += 1
    },
    leave: () => {
      pending -= 1
      letGoIfDrained()
    },
    retire: () => {
      if (retired) return
      retired = true
      letGoIfDrained()
    },
    drained: () => retired && pending === 0,
  }
}
