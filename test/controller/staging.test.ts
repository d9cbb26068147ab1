/**
 * Releases that are not proven yet: who is given them, who is not, and how they come to production.
 * What a device itself makes of a controller that lies is in test/attack.
 */
import { describe, expect, it } from 'vitest'
import type { Result } from '../../shared/kernel/result.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { DelegationPlan } from '../../shared/signing/tuf/publish.ts'
import {
  ada,
  buildFleet,
  chunks,
  createTestDevice,
  enrolmentBody,
  type TestDevice,
  type TestFleet,
} from '../fixtures/controller-builder.ts'
import {
  type BuiltRelease,
  buildRelease,
  buildRole,
  buildRoot,
  publisher,
} from '../fixtures/release-builders.ts'
import { buildFacts, buildSpec } from '../fixtures/rollout-builders.ts'
import { signerNumber } from '../shared/signing/build-assignment.ts'

const second = signerNumber(160)
const paths = ['*/*/*']
const both = [publisher.key, second.key]
const split: DelegationPlan[] = [
  { name: 'production', keys: both, threshold: 2, terminating: false, paths },
  { name: 'staging', keys: both, threshold: 1, terminating: false, paths },
]
const [first, next] = [buildRelease('1.0.0'), buildRelease('1.1.0')]
const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.error.code)

const production = (version: number, releases: BuiltRelease[]) =>
  buildRole('production', version, releases, { signers: [publisher, second] })
const staging = (version: number, releases: BuiltRelease[]) =>
  buildRole('staging', version, releases, { signers: [second] })

/** 1.0.0 in production, 1.1.0 in staging. */
async function splitFleet(): Promise<TestFleet> {
  const fleet = await buildFleet()
  const { application } = fleet.controller
  unwrap(await application.putRoot(buildRoot(), ada))
  for (const bytes of [first, next].flatMap(({ files }) => [...files.values()])) {
    unwrap(await application.putArtifact(sha256Hex(bytes), chunks(bytes), ada))
  }
  const targets = buildRole('targets', 1, [], { signers: [publisher], delegations: split })
  const files = { targets, production: production(1, [first]), staging: staging(1, [next]) }
  unwrap(await application.putRoles(new Map(Object.entries(files)), ada))
  return fleet
}

async function enrol(
  fleet: TestFleet,
  name: string,
  wants: { token: boolean; device: boolean },
): Promise<TestDevice> {
  const { application } = fleet.controller
  const options = { uses: 1, expiresInSeconds: 60, labels: {}, staging: wants.token }
  const { token } = unwrap(await application.createEnrolmentToken(options, ada))
  const device = createTestDevice(name, fleet.broker, fleet.clock)
  const facts = buildFacts(wants.device ? { staging: true } : {})
  unwrap(await application.enrol(enrolmentBody(device, token, facts)))
  return device
}

const stagingOf = async (fleet: TestFleet, name: string) =>
  unwrap(await fleet.controller.application.getDevice(name)).facts.staging ?? false

const toStaging = { targets: { staging: true }, baseline: null }

describe('a device is of staging', () => {
  it.each([
    [true, true, true],
    [false, true, false],
    [true, false, false],
    [false, false, false],
  ])('where its token (%s) and itself (%s) say so: %s', async (token, device, expected) => {
    const fleet = await splitFleet()
    await enrol(fleet, 'p1', { token, device })
    expect(await stagingOf(fleet, 'p1')).toBe(expected)
  })

  it('for good: it cannot take that up later with an old token', async () => {
    const fleet = await splitFleet()
    const device = await enrol(fleet, 'p1', { token: false, device: false })
    const { application } = fleet.controller
    const claim = enrolmentBody(device, 'x'.repeat(24), buildFacts({ staging: true }))
    unwrap(await application.enrol(claim))
    expect(await stagingOf(fleet, 'p1')).toBe(false)
  })
})

describe('what stands in staging', () => {
  it('is not served where a search for it would fail at production', async () => {
    const fleet = await buildFleet()
    const { application } = fleet.controller
    unwrap(await application.putRoot(buildRoot(), ada))
    for (const bytes of next.files.values()) {
      unwrap(await application.putArtifact(sha256Hex(bytes), chunks(bytes), ada))
    }
    const targets = buildRole('targets', 1, [], { signers: [publisher], delegations: split })
    const put = async (files: Record<string, Uint8Array>) =>
      codeOf(await application.putRoles(new Map(Object.entries(files)), ada))
    expect(await put({ targets, staging: staging(1, []) })).toBe('ok')
    expect(await put({ staging: staging(2, [next]) })).toBe('delegation.missing')
    expect(await put({ staging: staging(2, [next]), production: production(1, []) })).toBe('ok')
  })
})

describe('a rollout of a release that stands in staging only', () => {
  it('is refused where it could take a production device', async () => {
    const fleet = await splitFleet()
    await enrol(fleet, 'p1', { token: false, device: false })
    await enrol(fleet, 's1', { token: true, device: true })
    const { application } = fleet.controller
    const refused = await application.createRollout(buildSpec({ baseline: null }), ada)
    expect(refused).toMatchObject({
      ok: false,
      error: {
        code: 'rollout.staging_only',
        expected: expect.stringContaining('targets.staging: true'),
        found: '1 of 2 targeted devices are not: p1',
        next: expect.stringContaining('linnet release promote motor@1.1.0'),
      },
    })
  })

  it('takes the devices of staging and no others, whenever they come', async () => {
    const fleet = await splitFleet()
    const { application } = fleet.controller
    const plant = await enrol(fleet, 'p1', { token: false, device: false })
    const lab = await enrol(fleet, 's1', { token: true, device: true })
    for (const device of [plant, lab]) device.online()
    const waves = [{ ...buildSpec().waves[0]!, percent: 100, trafficPercent: 100 }]
    const spec = buildSpec({ ...toStaging, waves })
    const { id } = unwrap(await application.createRollout(spec, ada))
    unwrap(await application.commandRollout(id, 'start', { full: false, note: '' }, ada))
    const later = await enrol(fleet, 's2', { token: true, device: true })
    later.online()
    await fleet.after(1_000)
    await fleet.after(1_000)
    const targets = (device: TestDevice) => device.assignment()?.slots.map(({ target }) => target)
    expect(targets(lab)).toEqual(['motor/1.1.0/fp32.onnx'])
    expect(targets(later)).toEqual(['motor/1.1.0/fp32.onnx'])
    expect(targets(plant) ?? []).toEqual([])
    unwrap(await application.commandRollout(id, 'promote', { full: true, note: '' }, ada))
    const { stage, role } = unwrap(await application.getRelease('motor', '1.1.0'))
    expect([stage, role]).toEqual(['staging', 'staging'])
  })

  it('is open to all once two publishers have promoted the release', async () => {
    const fleet = await splitFleet()
    const { application } = fleet.controller
    await enrol(fleet, 'p1', { token: false, device: false })
    const shown = async () => unwrap(await application.getRelease('motor', '1.1.0'))
    expect((await shown()).role).toBe('staging')
    const files = { production: production(2, [first, next]), staging: staging(2, []) }
    unwrap(await application.putRoles(new Map(Object.entries(files)), ada))
    expect([(await shown()).role, (await shown()).signedBy.length]).toEqual(['production', 2])
    expect(codeOf(await application.createRollout(buildSpec({ baseline: null }), ada))).toBe('ok')
  })

  it('gives a production device nothing that went back to staging, and says why', async () => {
    const fleet = await splitFleet()
    const { application } = fleet.controller
    const plant = await enrol(fleet, 'p1', { token: false, device: false })
    plant.online()
    const waves = [{ ...buildSpec().waves[0]!, percent: 100, trafficPercent: 100 }]
    const spec = buildSpec({ candidate: '1.0.0', baseline: null, waves })
    const { id } = unwrap(await application.createRollout(spec, ada))
    const back = { production: production(2, []), staging: staging(2, [first, next]) }
    unwrap(await application.putRoles(new Map(Object.entries(back)), ada))
    unwrap(await application.commandRollout(id, 'start', { full: false, note: '' }, ada))
    await fleet.after(1_000)
    expect(plant.assignment()?.slots ?? []).toEqual([])
    const { unfit } = unwrap(await application.getDevice('p1'))
    expect(unfit?.map(({ code }) => code)).toEqual(['release.unproven'])
  })
})
