/**
 * Reports of attacks, from the devices' messages to the wave that waits: they pause it by the policy
 * of the rollout, count from when the controller heard of them, and are shown with their kind.
 */
import { describe, expect, it } from 'vitest'
import { deviceResourceSchema } from '../../shared/api/resources.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { attentionOf } from '../../shared/view/attention.ts'
import { deviceDetail } from '../../shared/view/device-view.ts'
import { ada, reportFor, type TestDevice, type TestFleet } from '../fixtures/controller-builder.ts'
import { buildSpec } from '../fixtures/rollout-builders.ts'
import { buildServingFleet, startRollout } from '../fixtures/serving-fleet.ts'

const waves = [buildSpec().waves[1]!, buildSpec().waves[1]!]

/** @param atMs by the device's clock, which may be any. */
function underAttack(device: TestDevice, atMs: number): void {
  const attacks = [{ kind: 'rollback' as const, subject: 'assignment', atMs }]
  const report = { ...reportFor(device.assignment()!), attacks }
  const stamp = { boot: device.boot, seq: device.nextSeq(), atMs }
  device.say('report', { ...stamp, report, qualifications: [] })
}

async function running(attackReportsMax = 2) {
  const { fleet, devices } = await buildServingFleet()
  const id = await startRollout(fleet, buildSpec({ waves, attackReportsMax }))
  for (const device of devices) device.obey()
  await fleet.after(1_000)
  const state = async () => unwrap(await fleet.controller.application.getRollout(id, ada))
  return { fleet, devices, id, state }
}

async function heard(fleet: TestFleet, devices: readonly TestDevice[], atMs: number) {
  for (const device of devices) underAttack(device, atMs)
  await fleet.after(1_000)
}

describe('reports of attacks', () => {
  it('of more devices than the policy allows pause the wave', async () => {
    const { fleet, devices, state } = await running()
    await heard(fleet, devices.slice(0, 2), fleet.clock.nowMs())
    expect((await state()).state).toBe('running')
    await heard(fleet, devices.slice(2, 3), fleet.clock.nowMs())
    const { state: name, reason } = await state()
    expect([name, reason.code]).toEqual(['paused', 'attack_reports'])
    expect(reason.sentence).toBe('3 devices of wave 1 report attacks, more than 2.')
  })

  it('pause it by the first, where the policy says 0', async () => {
    const { fleet, devices, state } = await running(0)
    await heard(fleet, devices.slice(0, 1), fleet.clock.nowMs())
    expect(await state()).toMatchObject({ state: 'paused', reason: { code: 'attack_reports' } })
  })

  it.each([
    ['in 1970', () => 1_000],
    ['an hour behind', (nowMs: number) => nowMs - 3_600_000],
    ['an hour ahead', (nowMs: number) => nowMs + 3_600_000],
  ])('count from when they arrive, of clocks %s as well', async (_, clockOf) => {
    const { fleet, devices, id, state } = await running()
    const atMs = clockOf(fleet.clock.nowMs())
    await heard(fleet, devices, atMs)
    expect((await state()).state).toBe('paused')
    // A person goes on. What was heard before says nothing new, however often it is said.
    const go = { full: false, note: '' }
    unwrap(await fleet.controller.application.commandRollout(id, 'promote', go, ada))
    await fleet.after(1_000)
    expect(await state()).toMatchObject({ state: 'running', wave: 1 })
    await heard(fleet, devices, atMs)
    expect((await state()).state).toBe('running')
    // An attack that goes on is seen again, and pauses the next wave.
    await heard(fleet, devices, atMs + 60_000)
    expect(await state()).toMatchObject({ state: 'paused', reason: { code: 'attack_reports' } })
  })

  it('are shown with their kind, by the time of the controller', async () => {
    const { fleet, devices } = await running()
    const [device] = devices
    underAttack(device!, 1_000)
    const problem = { code: 'assignment.generation', message: 'It is older.' }
    const notice = {
      ...{ kind: 'assignment_refused' as const, subject: 'assignment', problem },
      ...{ atMs: fleet.clock.nowMs(), attack: 'rollback' as const, times: 12 },
    }
    device!.say('notice', { boot: device!.boot, seq: device!.nextSeq(), notice })
    await fleet.after(1_000)
    const saidMs = fleet.clock.nowMs()
    const resource = deviceResourceSchema.parse(
      unwrap(await fleet.controller.application.getDevice(device!.name)),
    )
    const detail = deviceDetail(resource, saidMs)
    expect(detail.facts).toContainEqual(['attacks refused', 'rollback (assignment) just now'])
    const [[, ...words] = []] = detail.notices.rows
    expect(words).toEqual([
      ...['assignment refused, looks like rollback, 12 times', 'assignment'],
      'It is older. [assignment.generation]',
    ])
    const fleetNow = { devices: [resource], rollouts: [], health: null }
    const { sentence } = attentionOf(fleetNow, saidMs)[0]!
    expect(sentence).toBe('Looks like rollback: It is older.')
  })
})
