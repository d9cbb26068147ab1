import { describe, expect, it } from 'vitest'
import { unwrap } from '../../../shared/kernel/result.ts'
import type { Rollout, TargetedDevice } from '../../../shared/rollout/state.ts'
import { step } from '../../../shared/rollout/step.ts'
import {
  buildTargeted,
  buildVerdict,
  runningRollout,
  startMs,
} from '../../fixtures/rollout-builders.ts'

const many = (count: number, more: Partial<TargetedDevice> = {}): TargetedDevice[] =>
  Array.from({ length: count }, (_, i) =>
    buildTargeted({ device: `${more.candidate ?? 'former'}-${i}`, ...more }),
  )

/** The last wave: the verdict says promote. */
const look = (devices: TargetedDevice[], more: Partial<Rollout> = {}): Rollout => {
  const event = { kind: 'observed' as const, devices, verdict: buildVerdict('promote') }
  return unwrap(step(runningRollout({ wave: 1, ...more }), event, startMs)).rollout
}

describe('a wave whose verdict is good', () => {
  const former = many(10, { hasCounted: true })

  it('waits until every online device of its own serves the candidate or has failed to', () => {
    const added = [
      ...many(30, { candidate: 'installing', isAdded: true }),
      ...many(60, { candidate: 'absent', isAdded: true }),
    ]
    const { state, reason } = look([...former, ...added])
    expect(state).toBe('running')
    expect(reason.sentence).toBe(
      'Wave 2 of 2: 10 of 100 devices serve it. It says promote. ' +
        '30 devices still install it, 60 devices have not begun.',
    )
  })

  it('names the last few that it waits for', () => {
    const added = [
      buildTargeted({ device: 'd8', isAdded: true, hasCounted: true }),
      buildTargeted({ device: 'd9', isAdded: true, candidate: 'installing' }),
    ]
    expect(look([...former, ...added]).reason.sentence).toContain(
      '1 device still installs it (d9).',
    )
  })

  it('waits for a request that one of the devices it added has counted', () => {
    const added = many(3, { candidate: 'serving', isAdded: true })
    const { state, reason } = look([...former, ...added])
    expect(state).toBe('running')
    expect(reason.sentence).toBe(
      'Wave 2 of 2: 13 of 13 devices serve it. It says promote. ' +
        'None of the 3 devices that this wave added has counted a request of it yet.',
    )
    const [first, ...rest] = added
    const heard = [...former, { ...first!, hasCounted: true }, ...rest]
    expect(look(heard).state).toBe('promoted')
  })

  it('waits for no device that is offline, and passes where it added none that could count', () => {
    const away = many(90, { candidate: 'absent', online: false, isAdded: true })
    expect(look([...former, ...away]).state).toBe('promoted')
    expect(look(former).state).toBe('promoted')
  })

  it('rolls back by what its own devices refuse, though earlier ones are many', () => {
    const refused = { candidate: 'failed' as const, failureCode: 'disk.full', isAdded: true }
    const added = [...many(2, refused), ...many(3, { isAdded: true, hasCounted: true })]
    const { state, reason } = look([...many(45), ...added])
    expect([state, reason.sentence]).toEqual([
      'rolling_back',
      '2 of 5 devices that wave 2 added refused or failed to install it (disk.full).',
    ])
    const single = [...many(1, refused), ...many(2, { isAdded: true, hasCounted: true })]
    expect(look([...many(45), ...single]).state).toBe('promoted')
  })
})

describe('a paused rollout', () => {
  const devices = [buildTargeted({ isAdded: true, hasCounted: true })]
  const paused = (code: string): Rollout =>
    runningRollout({ state: 'paused', reason: { code, sentence: 'It is paused.' } })

  it.each(['undecided', 'paused_by_operator', 'attack_reports'])(
    'still rolls back on a broken limit, and never advances: %s',
    (code) => {
      const see = (decision: 'promote' | 'rollback') => {
        const event = { kind: 'observed' as const, devices, verdict: buildVerdict(decision) }
        return unwrap(step(paused(code), event, startMs + 700_000))
      }
      expect(see('rollback').rollout).toMatchObject({
        state: 'rolling_back',
        reason: { code: 'guardrail' },
      })
      expect(see('promote')).toEqual({ rollout: paused(code), records: [] })
    },
  )
})
