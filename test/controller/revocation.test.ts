/** What is taken back: releases by their publishers, devices and tokens by operators. */
import { describe, expect, it } from 'vitest'
import type { Result } from '../../shared/kernel/result.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { parseTarget } from '../../shared/model/assignment.ts'
import type { Rollout } from '../../shared/rollout/state.ts'
import {
  ada,
  buildFleet,
  createTestDevice,
  enrolmentBody,
  type TestDevice,
  type TestFleet,
} from '../fixtures/controller-builder.ts'
import { buildRelease } from '../fixtures/release-builders.ts'
import { buildFacts, buildSpec } from '../fixtures/rollout-builders.ts'
import { buildServingFleet, startRollout } from '../fixtures/serving-fleet.ts'

const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.error.code)
const versions = (device: TestDevice): string[] =>
  (device.assignment()?.slots ?? []).map(({ target }) => parseTarget(target).version)
const shown = async (fleet: TestFleet, id: string): Promise<Pick<Rollout, 'state' | 'reason'>> =>
  unwrap(await fleet.controller.application.getRollout(id, ada))
const everyone = buildSpec({
  waves: [{ percent: 100, trafficPercent: 50, shadowPercent: 0, minSeconds: 60, maxSeconds: 600 }],
})

describe('a release that its publishers revoke', () => {
  it('is archived, and a rollout of it under way rolls back with the reason', async () => {
    const { fleet, devices } = await buildServingFleet()
    const id = await startRollout(fleet, everyone)
    for (const device of devices) device.obey()
    await fleet.after(1_000)
    await fleet.publish([buildRelease('1.0.0')], 2)
    await fleet.after(1_000)
    const rollout = await shown(fleet, id)
    expect([rollout.state, rollout.reason.code]).toEqual(['rolling_back', 'release_revoked'])
    expect(rollout.reason.sentence).toBe('motor@1.1.0 was revoked by its publishers.')
    expect(devices.map(versions)).toEqual(devices.map(() => ['1.0.0']))
    for (const device of devices) device.obey()
    await fleet.after(1_000)
    expect((await shown(fleet, id)).state).toBe('rolled_back')
    const release = unwrap(await fleet.controller.application.getRelease('motor', '1.1.0'))
    expect(release.stage).toBe('archived')
  })

  it('aborts a rollout that has not begun, and none can be made again', async () => {
    const { fleet } = await buildServingFleet()
    const { application } = fleet.controller
    const { id } = unwrap(await application.createRollout(everyone, ada))
    await fleet.publish([buildRelease('1.0.0')], 2)
    await fleet.after(1_000)
    const rollout = await shown(fleet, id)
    expect([rollout.state, rollout.reason.code]).toEqual(['aborted', 'release_revoked'])
    const again = await application.createRollout(everyone, ada)
    expect(codeOf(again)).toBe('rollout.unknown_release')
  })

  it('leaves devices after its promotion too, for the newest release that is still signed', async () => {
    const { fleet, devices } = await buildServingFleet()
    const id = await startRollout(fleet, everyone)
    const { application } = fleet.controller
    for (const device of devices) device.obey()
    unwrap(await application.commandRollout(id, 'promote', { full: true, note: '' }, ada))
    await fleet.after(1_000)
    for (const device of devices) device.obey()
    expect(devices.map(versions)).toEqual(devices.map(() => ['1.1.0']))
    await fleet.publish([buildRelease('1.0.0')], 2)
    await fleet.after(1_000)
    expect(devices.map(versions)).toEqual(devices.map(() => ['1.0.0']))
    for (const device of devices) device.obey()
    await fleet.after(1_000)
    const rollout = await shown(fleet, id)
    expect([rollout.state, rollout.reason.code]).toEqual(['rolled_back', 'release_revoked'])
  })

  it('does not stop a rollout that replaces it', async () => {
    const { fleet, devices } = await buildServingFleet()
    const id = await startRollout(fleet, everyone)
    await fleet.publish([buildRelease('1.1.0')], 2)
    await fleet.after(1_000)
    expect((await shown(fleet, id)).state).toBe('running')
    expect(devices.map(versions)).toEqual(devices.map(() => ['1.1.0']))
  })
})

describe('a device that an operator revokes', () => {
  it('is disconnected and refused everywhere, and its counts leave open rollouts', async () => {
    const { fleet, devices } = await buildServingFleet()
    const id = await startRollout(fleet, everyone)
    for (const device of devices) device.obey()
    const [bad, ...good] = devices
    for (const device of good) device.count({ '1.0.0': [50, 1], '1.1.0': [50, 1] })
    bad!.count({ '1.0.0': [50, 0], '1.1.0': [40, 40] })
    await fleet.after(0)
    const { application } = fleet.controller
    const canary = async (of: TestFleet) => {
      const { evidence } = unwrap(await of.controller.application.getRollout(id, ada))
      return [evidence[0]?.canary.requests, evidence[0]?.canary.errors]
    }
    expect(unwrap(await application.revokeDevice('d1', 'stolen', ada))).toBeUndefined()
    expect(await canary(fleet)).toEqual([150, 3])
    expect(fleet.broker.disconnected).toEqual(['d1'])
    expect(codeOf(await application.assignmentOf('d1'))).toBe('access.revoked')
    bad!.count({ '1.1.0': [1_000, 1_000] })
    await fleet.after(1_000)
    expect((await application.health()).messages.refused).toMatchObject({ 'ingest.revoked': 1 })
    expect(await canary(fleet)).toEqual([150, 3])
    const again = await fleet.restart()
    await again.after(1_000)
    expect(await canary(again)).toEqual([150, 3])
    expect(unwrap(await again.controller.application.getDevice('d1')).membership).toBe('revoked')
    const audit = (await fleet.store.audit(100)).find(({ action }) => action === 'revoke')
    expect(audit).toMatchObject({ actor: 'ada', resource: 'device/d1', outcome: 'done' })
    expect(audit?.metadata).toMatchObject({ note: 'stolen', withdrawnFrom: id })
  })

  it('stays revoked: its key and its id do not come back', async () => {
    const fleet = await buildFleet()
    const device = await fleet.enrol('p1')
    const { application } = fleet.controller
    unwrap(await application.revokeDevice('p1', '', ada))
    const options = { uses: 1, expiresInSeconds: 60, labels: {} }
    const { token } = unwrap(await application.createEnrolmentToken(options, ada))
    const body = enrolmentBody(device, token, buildFacts())
    expect(codeOf(await application.enrol(body))).toBe('enrolment.revoked')
    expect(codeOf(await application.approveDevice('p1', ada))).toBe('access.revoked')
    expect(codeOf(await application.revokeDevice('p9', '', ada))).toBe('device.not_found')
  })
})

describe('approval by an operator', () => {
  it('a device waits until it is approved, with nothing assigned to it', async () => {
    const { fleet } = await buildServingFleet(['d1'])
    const strict = await fleet.restart({ enrolment: 'approve' })
    const late = await strict.enrol('late')
    const { application } = strict.controller
    late.online()
    await strict.after(1_000)
    expect(unwrap(await application.getDevice('late')).membership).toBe('pending')
    expect(late.assignment()).toBeUndefined()
    expect(codeOf(await application.assignmentOf('late'))).toBe('access.pending')
    unwrap(await application.approveDevice('late', ada))
    await strict.after(1_000)
    expect(versions(late)).toEqual(['1.0.0'])
    expect(unwrap(await application.getDevice('late')).membership).toBeUndefined()
    // Members from before are members still.
    expect(unwrap(await application.getDevice('d1')).membership).toBeUndefined()
  })
})

describe('enrolment tokens', () => {
  it('are listed without their secrets, and admit nobody once revoked', async () => {
    const fleet = await buildFleet()
    const { application } = fleet.controller
    const options = { uses: 3, expiresInSeconds: 60, labels: { site: 'hall-2' } }
    const { token } = unwrap(await application.createEnrolmentToken(options, ada))
    const [listed] = await application.enrolmentTokens()
    expect(listed).toMatchObject({ usesLeft: 3, createdBy: 'ada', labels: { site: 'hall-2' } })
    expect(JSON.stringify(listed)).not.toContain(token)
    unwrap(await application.revokeEnrolmentToken(listed!.id, ada))
    expect(await application.enrolmentTokens()).toEqual([])
    const device = createTestDevice('p1', fleet.broker, fleet.clock)
    const body = enrolmentBody(device, token, buildFacts())
    expect(codeOf(await application.enrol(body))).toBe('enrolment.token_unknown')
    const missing = await application.revokeEnrolmentToken('0'.repeat(12), ada)
    expect(codeOf(missing)).toBe('enrolment_token.not_found')
  })
})
