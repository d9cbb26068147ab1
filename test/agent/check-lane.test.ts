import { describe, expect, it } from 'vitest'
import { createCheckLane } from '../../agent/check-lane.ts'
import type { CheckedAssignment } from '../../agent/ports.ts'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { DeviceEvent } from '../../shared/update/state.ts'
import { buildAssignment } from '../shared/signing/build-assignment.ts'

const order = { directorEpoch: 0, generation: -1, digest: '' }
const accepted = ok({ assignment: buildAssignment(), digest: 'd1', isNew: true })

/** Answers in turn, the last one for ever; timers run when asked for. */
function buildLane(answers: readonly Result<CheckedAssignment>[]) {
  const events: DeviceEvent[] = []
  const timers: (() => void)[] = []
  let asked = 0
  const after = (_delayMs: number, task: () => void): (() => void) => {
    timers.push(task)
    return () => undefined
  }
  const lane = createCheckLane(
    {
      trust: {
        checkAssignment: async () => answers[Math.min(asked++, answers.length - 1)]!,
        review: async () => ({
          review: { directorEpoch: 0, frozen: null, revoked: [] },
          problem: null,
        }),
        openAck: async () => refuse('frame.signature', 'Not asked here.'),
      },
      clock: { nowMs: () => 0, monotonicMs: () => 0, after },
      log: { info: () => undefined, warn: () => undefined },
      random: () => 0,
    },
    (event) => events.push(event),
  )
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  return {
    events,
    timers,
    async check() {
      lane.check({ kind: 'checkAssignment', envelope: '{}', order, serving: [] })
      await settle()
    },
    async nextTimer() {
      timers.shift()?.()
      await settle()
    },
  }
}

describe('the check lane', () => {
  it.each(['assignment.not_yet_valid', 'assignment.expired'])(
    'takes an assignment that a wrong clock refused (%s) once the clock is right',
    async (code) => {
      const lane = buildLane([refuse(code, 'Wrong time.'), refuse(code, 'Wrong time.'), accepted])
      await lane.check()
      await lane.nextTimer()
      await lane.nextTimer()
      // Told of once, however often it is tried.
      expect(lane.events.map(({ kind }) => kind)).toEqual([
        'assignmentRefused',
        'assignmentAccepted',
      ])
    },
  )

  it('tells of a refusal also when the first try failed for another reason', async () => {
    const lane = buildLane([
      refuse('net.refused', 'Nobody listens.'),
      refuse('assignment.device', 'For another device.'),
    ])
    await lane.check()
    expect(lane.events).toEqual([])
    await lane.nextTimer()
    expect(lane.events.map(({ kind }) => kind)).toEqual(['assignmentRefused'])
    expect(lane.timers).toEqual([])
  })
})
