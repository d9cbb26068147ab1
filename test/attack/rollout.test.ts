/** What reports of attacks do to a rollout: they can hold an advance, and never a retreat. */
import { describe, expect, it } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import type { Rollout, TargetedDevice } from '../../shared/rollout/state.ts'
import { step } from '../../shared/rollout/step.ts'
import {
  buildTargeted,
  buildVerdict,
  runningRollout,
  startMs,
} from '../fixtures/rollout-builders.ts'

const nowMs = startMs + 1_000

/** `attacked` of ten devices, since the wave began unless it is said when. */
function devices(attacked: number, attackAtMs = startMs + 500): TargetedDevice[] {
  return Array.from({ length: 10 }, (_, i) =>
    buildTargeted({ device: `d${i}`, ...(i < attacked && { attackAtMs }) }),
  )
}

const observed = (rollout: Rollout, seen: TargetedDevice[], decision: 'promote' | 'rollback') =>
  unwrap(step(rollout, { kind: 'observed', devices: seen, verdict: buildVerdict(decision) }, nowMs))
    .rollout

describe('reports of attacks', () => {
  it('pause a rollout when more than two devices of the wave have them', () => {
    expect(observed(runningRollout(), devices(2), 'promote')).toMatchObject({ wave: 1 })
    const held = observed(runningRollout(), devices(3), 'promote')
    expect(held).toMatchObject({ state: 'paused', wave: 0, reason: { code: 'attack_reports' } })
    expect(held.reason.sentence).toBe('3 devices of wave 1 report attacks, more than 2.')
  })

  it('count only since the wave began, so that a person can go on', () => {
    const seen = devices(10, startMs - 1)
    expect(observed(runningRollout(), seen, 'promote')).toMatchObject({ state: 'running', wave: 1 })
  })

  it('never hold up a rollback, neither before the pause nor after it', () => {
    expect(observed(runningRollout(), devices(10), 'rollback').state).toBe('rolling_back')
    const held = observed(runningRollout(), devices(3), 'promote')
    expect(observed(held, devices(10), 'promote')).toBe(held)
    expect(observed(held, devices(10), 'rollback').state).toBe('rolling_back')
  })
})
