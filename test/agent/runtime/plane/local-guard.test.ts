import { describe, expect, it } from 'vitest'
import {
  GUARD_START,
  type GuardedRequest,
  type GuardState,
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
const GOOD: GuardedRequest = { failed: false, late: false }
const LATE: GuardedRequest = { failed: false, late: true }
const FAILED: GuardedRequest = { failed: true, late: false }

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
