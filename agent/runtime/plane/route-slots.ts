/**
 * The slots of one model under the plan in force, less what the local guard stopped since. Invariant:
 * what was stopped stands in no slot any more, and `previous` takes the place of a `current` that was;
 * the agent's next plan says the same.
 */
import type { LiveRelease } from './live-release.ts'
import { type RatePolicy, ratePolicyOf } from './rate-limit.ts'

export interface SlotContents {
  readonly current: LiveRelease
  readonly candidate: LiveRelease | null
  readonly previous: LiveRelease | null
  readonly others: readonly LiveRelease[]
}

export interface RouteSlots extends SlotContents {
  /** The strictest of the releases that answer; undefined: no limit. */
  readonly rate: RatePolicy | undefined
  /** May answer a request. */
  answering(): readonly LiveRelease[]
  hasLeft(live: LiveRelease): boolean
  /** A last `current` stays: a release that answers badly beats none. */
  isLast(live: LiveRelease): boolean
  stop(live: LiveRelease): void
}

/** What may answer requests for a model; the strictest policy among them holds for all. */
export function releasesAnswering<T>(slots: {
  readonly current: T | null
  readonly candidate: T | null
  readonly others?: readonly T[] | undefined
}): T[] {
  const { current, candidate, others = [] } = slots
  return [current, candidate, ...others].filter((release) => release !== null)
}

export function createRouteSlots({ others, ...contents }: SlotContents): RouteSlots {
  let { current, candidate, previous } = contents
  const stopped = new Set<LiveRelease>()
  const answering = (): LiveRelease[] => releasesAnswering({ current, candidate, others })
  const strictest = () => ratePolicyOf(answering().map(({ manifest }) => manifest))
  let rate = strictest()
  const isLast = (live: LiveRelease): boolean => live === current && previous === null
  return {
    get current() {
      return current
    },
    get candidate() {
      return candidate
    },
    get previous() {
      return previous
    },
    get rate() {
      return rate
    },
    others,
    answering,
    hasLeft: (live) => stopped.has(live),
    isLast,
    stop(live) {
      if (isLast(live)) return
      stopped.add(live)
      if (live === candidate) candidate = null
      if (live === current && previous !== null) {
        current = previous
        previous = null
      }
      rate = strictest()
    },
  }
}
