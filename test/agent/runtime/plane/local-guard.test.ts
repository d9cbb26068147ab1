import { describe, expect, it } from 'vitest'
import {
  GUARD_START,
  type GuardedRequest,
  type GuardState,
  guardedRequest,
  guardProblem,
  isOverLimit,
  QUIET,
  watchLimit,
  watchRequest,
} from '../../../../agent/runtime/plane/local-guard.ts'
import { createPrng } from '../../../../shared/kernel/prng.ts'

const LEVELS = {
  latencyMsMax: 50,
  latencyBadShareMax: 0.05,
  errorRateMax: 0.01,
  qualityDropMax: 0.05,
}
const GOOD: GuardedRequest = { failed: false, late: false, slow: false }
const LATE: GuardedRequest = { failed: false, late: true, slow: true }
const WAITED: GuardedRequest = { failed: false, late: true, slow: false }
const FAILED: GuardedRequest = { failed: true, late: false, slow: false }

function watchAll(
  requests: readonly GuardedRequest[],
  slot: 'current' | 'candidate' = 'candidate',
  current: GuardState = GUARD_START,
): GuardState {
  return requests.reduce(
    (state, request) => watchRequest(state, request, LEVELS, slot, current),
    GUARD_START,
  )
}
const times = (n: number, request: GuardedRequest) => Array.from({ length: n }, () => request)

describe('The local guard', () => {
  it('stops a release that always fails at its fiftieth failure', () => {
    expect(guardProblem(watchAll(times(49, FAILED)), LEVELS)).toBeUndefined()
    expect(guardProblem(watchAll(times(50, FAILED)), LEVELS)).toMatchObject({
      code: 'guard.error_rate',
      expected: 'at most 1 % failed requests',
      found: '50 of the last 50',
    })
  })

  it('finds a release that goes bad after a good week as fast', () => {
    const state = watchAll([...times(50_000, GOOD), ...times(50, FAILED)])
    expect(guardProblem(state, LEVELS)?.code).toBe('guard.error_rate')
  })

  it('stops a candidate that is late where current is not', () => {
    const current = watchAll(times(400, GOOD), 'current')
    const state = watchAll(times(50, LATE), 'candidate', current)
    expect(guardProblem(state, LEVELS)?.code).toBe('guard.latency')
  })

  it('leaves a candidate alone on a device where current is late too', () => {
    const busy = times(400, GOOD).map((_, i) => (i % 2 === 0 ? LATE : GOOD))
    const current = watchAll(busy, 'current')
    expect(guardProblem(watchAll(busy, 'candidate', current), LEVELS)).toBeUndefined()
    expect(guardProblem(current, LEVELS)).toBeUndefined()
  })

  it('stops a current that is always slow at its fiftieth answer, but not one that only waits', () => {
    expect(guardProblem(watchAll(times(49, LATE), 'current'), LEVELS)).toBeUndefined()
    expect(guardProblem(watchAll(times(50, LATE), 'current'), LEVELS)?.code).toBe('guard.latency')
    expect(guardProblem(watchAll(times(5_000, WAITED), 'current'), LEVELS)).toBeUndefined()
  })

  it.each([
    [0.5, 0.5, false],
    [0.5, 0.8, true],
    [0.9, 0.9, false],
    [0.9, 1, true],
    [0.99, 1, true],
    [1, 1, false],
  ])('with a limit of %d and a share of %d: stopped %s', (limit, share, isStopped) => {
    let watch = QUIET
    let stopped = false
    for (let i = 0; i < 2_000; i++) {
      // As even as the share allows: of ten, the first ones are bad.
      watch = watchLimit(watch, i % 10 < share * 10, limit)
      stopped ||= isOverLimit(watch)
    }
    expect(stopped).toBe(isStopped)
  })

  it.each([
    ['a full line', { error: 'overloaded' as const, latencyMs: { input: 1 } }, undefined],
    ['a deadline in line', { error: 'timeout' as const, latencyMs: { input: 900 } }, undefined],
    ['an answer in time', { latencyMs: { queue: 10, compute: 30, output: 1, total: 42 } }, GOOD],
    ['a wait', { latencyMs: { queue: 40, compute: 30, output: 1, total: 72 } }, WAITED],
    ['a slow run', { latencyMs: { queue: 0, compute: 49, output: 2, total: 51 } }, LATE],
    [
      'a slow run that nobody waited for',
      { error: 'timeout' as const, latencyMs: { queue: 0, compute: 60, total: 60 } },
      LATE,
    ],
    ['a failure', { error: 'internal' as const, latencyMs: { queue: 1, compute: 3 } }, FAILED],
  ])('sees %s for what it is', (_, sample, seen) => {
    expect(guardedRequest(sample, LEVELS.latencyMsMax)).toEqual(seen)
  })

  it('raises no false alarm in 200,000 requests at half the limit', () => {
    const prng = createPrng('guard')
    let watch = QUIET
    let alarms = 0
    for (let i = 0; i < 200_000; i++) {
      watch = watchLimit(watch, prng.chance(0.005), 0.01)
      if (isOverLimit(watch)) alarms += 1
    }
    expect(alarms).toBe(0)
  })
})
