import { describe, expect, it } from 'vitest'
import { unwrap } from '../../../shared/kernel/result.ts'
import { allowedCommands } from '../../../shared/rollout/commands.ts'
import { RETREAT_SECONDS_MAX } from '../../../shared/rollout/retreat.ts'
import type { Rollout, TargetedDevice } from '../../../shared/rollout/state.ts'
import { step } from '../../../shared/rollout/step.ts'
import { buildTargeted, runningRollout, startMs } from '../../fixtures/rollout-builders.ts'

const because = { code: 'guardrail', sentence: '9 of 40 requests failed.' }
const rolling = runningRollout({ state: 'rolling_back', reason: because })

const look = (rollout: Rollout, devices: TargetedDevice[], nowMs = startMs) =>
  unwrap(step(rollout, { kind: 'observed', devices, verdict: null }, nowMs))

const back = buildTargeted({ device: 'd0', candidate: 'absent' })
const stuck = buildTargeted({ device: 'd1', backFailureCode: 'golden.mismatch' })
const slow = buildTargeted({ device: 'd2' })

describe('a rollback', () => {
  it('names the devices that hold it up, each time anew and without a decision', () => {
    const first = look(rolling, [back, stuck, slow])
    expect([first.rollout.state, first.records]).toEqual(['rolling_back', []])
    expect(first.rollout.reason).toEqual({
      code: 'guardrail',
      sentence:
        '9 of 40 requests failed. 2 of 3 devices still serve 1.1.0: d1 (golden.mismatch), d2.',
    })
    const second = look(first.rollout, [back, stuck, { ...slow, candidate: 'absent' }])
    expect(second.rollout.reason.sentence).toBe(
      '9 of 40 requests failed. 1 of 3 devices still serves 1.1.0: d1 (golden.mismatch).',
    )
    expect(look(second.rollout, [back]).rollout.reason).toEqual(because)
  })

  it('ends when its time is over, with those named that will follow', () => {
    const { rollout } = look(rolling, [back, stuck])
    const endMs = startMs + RETREAT_SECONDS_MAX * 1_000
    expect(look(rollout, [back, stuck], endMs - 1).rollout.state).toBe('rolling_back')
    const ended = look(rollout, [back, stuck], endMs)
    expect([ended.rollout.state, ended.rollout.endedAtMs]).toEqual(['rolled_back', endMs])
    expect(ended.rollout.reason.sentence).toBe(
      '9 of 40 requests failed. After 600 s 1 of 2 devices still serves 1.1.0, ' +
        'and will follow: d1 (golden.mismatch).',
    )
    expect(ended.records.map(({ action, to }) => [action, to])).toEqual([
      ['rolled_back', 'rolled_back'],
    ])
  })

  it('waits for no device that is offline', () => {
    const { rollout } = look(rolling, [back, { ...slow, online: false }])
    expect([rollout.state, rollout.reason.sentence]).toEqual([
      'rolled_back',
      '9 of 40 requests failed. 1 offline device will follow.',
    ])
  })

  it('can be aborted, and says so to whoever asks for something else', () => {
    expect(allowedCommands('rolling_back', 'operator')).toEqual(['abort'])
    const give = (command: 'abort' | 'pause') => {
      const event = { kind: 'command' as const, command, actor: 'ada', full: false, note: '' }
      return step(rolling, event, startMs)
    }
    expect(unwrap(give('abort')).rollout.state).toBe('aborted')
    expect(give('pause')).toMatchObject({ error: { next: 'linnet rollout abort r1' } })
  })

  it('of a first release says that devices keep it', () => {
    const devices = [1, 2].map((i) => buildTargeted({ device: `d${i}`, keeps: true }))
    const { rollout } = look(rolling, devices)
    expect([rollout.state, rollout.reason.sentence]).toEqual([
      'rolled_back',
      '9 of 40 requests failed. ' +
        '2 devices keep 1.1.0: there is no other release to go back to.',
    ])
  })
})
