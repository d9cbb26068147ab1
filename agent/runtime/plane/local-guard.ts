/**
 * The local guard: takes a release out of service on the device, with the controller unreachable or
 * not, when its errors, invalid outputs or late answers are over the limits it promised. Pure.
 *
 * Each limit is watched by an e-process against "the bad share is at most the limit": the bet is the
 * share seen so far, beside one pseudo-request halfway between the limit and 1, and never below the
 * limit; evidence multiplies by predicted over allowed probability with each request. It restarts when
 * it falls below 1 (an e-detector: Shin, Ramdas and Rinaldo 2022), so a model that goes bad after a
 * good week is found as fast as one that starts bad; the mean number of requests to a false alarm at
 * the limit is at least the threshold, 10^6. Who never came to a run says nothing of the release.
 */
import type { Problem } from '../../../shared/kernel/result.ts'
import type { ServiceLevels } from '../../../shared/model/manifest.ts'
import type { RequestSample } from '../../../shared/sketch/window-record.ts'

const LOG_EVIDENCE_MIN = Math.log(1e6)
/** The last resort of one device: the fleet's verdict sees more devices and mostly comes before. */
const BAD_COUNT_MIN = 50
/** A limit of zero would make one bad request infinitely strong evidence. */
const SHARE_LEAST = 1e-4
/**
 * A device that is busy is late with any release: `current` is taken out for latency only if more than
 * half of its answers are late without their wait in line, and a candidate, which waits in the same
 * line, only past twice what `current` shows.
 */
const LATE_SHARE_OF_CURRENT = 0.5

export interface LimitWatch {
  readonly n: number
  readonly bad: number
  readonly logEvidence: number
}

export const QUIET: LimitWatch = { n: 0, bad: 0, logEvidence: 0 }

export function watchLimit(watch: LimitWatch, isBad: boolean, shareMax: number): LimitWatch {
  if (shareMax >= 1) return QUIET
  // A good one is no evidence against a release: most requests end here, without a logarithm.
  if (watch === QUIET && !isBad) return QUIET
  const limit = Math.min(0.99, Math.max(SHARE_LEAST, shareMax))
  // Never below the limit: being better than promised is no evidence against a release.
  const predicted = Math.max(limit, (watch.bad + (1 + limit) / 2) / (watch.n + 1))
  const factor = isBad ? predicted / limit : (1 - predicted) / (1 - limit)
  const logEvidence = watch.logEvidence + Math.log(factor)
  if (logEvidence <= 0) return QUIET
  return { n: watch.n + 1, bad: watch.bad + (isBad ? 1 : 0), logEvidence }
}

export function isOverLimit(watch: LimitWatch): boolean {
  return watch.bad >= BAD_COUNT_MIN && watch.logEvidence >= LOG_EVIDENCE_MIN
}

/** What the guard remembers of one release in one slot. */
export interface GuardState {
  readonly errors: LimitWatch
  readonly late: LimitWatch
  /** All that ran since the plan came into force, for the comparison of the arms. */
  readonly n: number
  readonly lateCount: number
}

export const GUARD_START: GuardState = { errors: QUIET, late: QUIET, n: 0, lateCount: 0 }

/** One that ran. */
export interface GuardedRequest {
  /** The release's own fault: it failed, or its answer was invalid; not a full line nor a deadline. */
  readonly failed: boolean
  /** Later than the release promises, whatever the client wished. */
  readonly late: boolean
  /** Late by its run and its encoding alone, without its reading and its wait in line. */
  readonly slow: boolean
}

/** @param lateMs a longer one is late. @returns undefined for what never came to a run. */
export function guardedRequest(
  { error, latencyMs }: RequestSample,
  lateMs: number,
): GuardedRequest | undefined {
  const { compute, output = 0, total } = latencyMs
  if (compute === undefined) return undefined
  const ownMs = compute + output
  return {
    // A full line is the device's trouble and a deadline mostly its client's: whoever sends requests
    // must not be able to stop a release with them. That it is slow tells what it promised itself.
    failed: error === 'internal' || error === 'invalid_output',
    late: (total ?? ownMs) > lateMs,
    slow: ownMs > lateMs,
  }
}

export function watchRequest(
  state: GuardState,
  request: GuardedRequest,
  levels: ServiceLevels,
  slot: 'current' | 'candidate',
  current: GuardState,
): GuardState {
  const lateShareMax =
    slot === 'current'
      ? Math.max(levels.latencyBadShareMax, LATE_SHARE_OF_CURRENT)
      : Math.max(levels.latencyBadShareMax, (2 * current.lateCount) / Math.max(1, current.n))
  return {
    errors: watchLimit(state.errors, request.failed, levels.errorRateMax),
    late: watchLimit(state.late, slot === 'current' ? request.slow : request.late, lateShareMax),
    n: state.n + 1,
    lateCount: state.lateCount + (request.late ? 1 : 0),
  }
}

/** @returns why the release must leave, or undefined. */
export function guardProblem(state: GuardState, levels: ServiceLevels): Problem | undefined {
  if (isOverLimit(state.errors)) {
    return {
      code: 'guard.error_rate',
      message: 'The local guard stopped a release that fails too often.',
      expected: `at most ${percent(levels.errorRateMax)} failed requests`,
      found: `${state.errors.bad} of the last ${state.errors.n}`,
    }
  }
  if (isOverLimit(state.late)) {
    return {
      code: 'guard.latency',
      message: 'The local guard stopped a release that answers too late.',
      expected: `at most ${percent(levels.latencyBadShareMax)} over ${levels.latencyMsMax} ms`,
      found: `${state.late.bad} of the last ${state.late.n}`,
    }
  }
  return undefined
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`
}
