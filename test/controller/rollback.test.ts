/** What a rollback says it does is what it does. */
import { expect, it } from 'vitest'
import type { RolloutResource } from '../../shared/api/resources.ts'
import { rolloutResourceSchema } from '../../shared/api/resources.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { rolloutDetail } from '../../shared/view/rollout-view.ts'
import { ada, reportFor, type TestFleet } from '../fixtures/controller-builder.ts'
import { buildSpec } from '../fixtures/rollout-builders.ts'
import { buildServingFleet, startRollout } from '../fixtures/serving-fleet.ts'

const give = (fleet: TestFleet, id: string, command: 'promote' | 'rollback') =>
  fleet.controller.application.commandRollout(id, command, { full: true, note: '' }, ada)

async function shown(fleet: TestFleet, id: string): Promise<RolloutResource> {
  return rolloutResourceSchema.parse(unwrap(await fleet.controller.application.getRollout(id, ada)))
}

it('of the first release leaves devices what they have, and says so before and after', async () => {
  const { fleet, devices } = await buildServingFleet()
  const { actions } = rolloutDetail(await shown(fleet, 'r1'), fleet.clock.nowMs())
  expect(actions.find(({ command }) => command === 'rollback')?.effect).toBe(
    '4 devices keep 1.0.0: there is no other release to go back to',
  )
  unwrap(await give(fleet, 'r1', 'rollback'))
  await fleet.after(1_000)
  const { state, reason } = await shown(fleet, 'r1')
  expect([state, reason.sentence]).toEqual([
    'rolled_back',
    'Rolled back by ada. 4 devices keep 1.0.0: there is no other release to go back to.',
  ])
  expect(devices[0]?.assignment()?.slots).toEqual([])
})

it('of a promotion that a later one replaced is refused, and the later one is named', async () => {
  const { fleet } = await buildServingFleet()
  const id = await startRollout(fleet)
  unwrap(await give(fleet, id, 'promote'))
  expect(await give(fleet, 'r1', 'rollback')).toMatchObject({
    ok: false,
    error: { code: 'rollout.superseded', next: `linnet rollout rollback ${id}` },
  })
  expect((await shown(fleet, 'r1')).state).toBe('promoted')
  unwrap(await give(fleet, id, 'rollback'))
})

it('names a device that cannot go back, and ends without it', async () => {
  const { fleet, devices } = await buildServingFleet()
  const id = await startRollout(fleet, buildSpec({ waves: [buildSpec().waves[1]!] }))
  for (const device of devices) device.obey()
  await fleet.after(1_000)
  unwrap(await give(fleet, id, 'rollback'))
  await fleet.after(1_000)
  const [stuck, ...others] = devices
  for (const device of others) device.obey()
  const { slots } = reportFor(stuck!.assignment()!)
  const report = {
    ...reportFor(stuck!.assignment()!, ['1.0.0']),
    slots: slots.map((slot) => ({ ...slot, version: '1.1.0' })),
  }
  const stamp = () => ({ boot: stuck!.boot, seq: stuck!.nextSeq(), atMs: fleet.clock.nowMs() })
  stuck!.say('report', { ...stamp(), report, qualifications: [] })
  await fleet.after(1_000)
  const waiting = await shown(fleet, id)
  expect([waiting.state, waiting.reason.sentence]).toEqual([
    'rolling_back',
    'Rolled back by ada. 1 of 4 devices still serves 1.1.0: d1 (golden.mismatch).',
  ])
  const { next } = rolloutDetail(waiting, fleet.clock.nowMs())
  expect(next).toContain(`linnet rollout abort ${id}`)
  for (let i = 0; i < 31; i++) {
    await fleet.after(20_000)
    stuck!.say('report', { ...stamp(), report, qualifications: [] })
  }
  await fleet.after(1_000)
  const ended = await shown(fleet, id)
  expect(ended.state).toBe('rolled_back')
  expect(ended.reason.sentence).toContain('After 600 s 1 of 4 devices still serves 1.1.0')
})
