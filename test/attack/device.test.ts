/** What a device does under attack: the attackers are in attackers.ts, one row each. */
import { describe, expect, it } from 'vitest'
import type { DeviceNotice } from '../../shared/model/device.ts'
import { dayMs, startMs } from '../shared/signing/tuf/build-repository.ts'
import { type AttackedDevice, honestNetwork, servingDevice } from './attacked-device.ts'
import { type Attacker, CONTROLLER_ROWS, NETWORK_ROWS } from './attackers.ts'
import { KEY_ROWS, stage } from './key-attackers.ts'
import { Publisher } from './publisher.ts'

const hourMs = 3_600_000

/** The honest side goes on: its next assignment is taken and served. */
async function serviceGoesOn(
  device: AttackedDevice,
  publisher: Publisher,
  generation: number,
): Promise<void> {
  const { issuedAt, expiresAt } = publisher.assignment(1, [])
  const times = { issuedAt: Math.max(issuedAt, device.clock.nowMs()), expiresAt }
  await device.assign(publisher.assignment(generation, [publisher.slot('motor@1.1.0')], times))
  await device.pass(300_000)
  expect(device.running()).toEqual([expect.stringMatching(/^motor@1\.1\.0 /)])
  expect(device.generation).toBe(generation)
}

/** As what it is and as nothing else; what goes on is told again after an hour, not before. */
function expectToldOnce(
  notices: readonly DeviceNotice[],
  { kind, code, provokes }: Attacker,
): void {
  const told = notices.map(({ attack, problem }) => `${attack} ${problem.code}`)
  const expected = [...(provokes === undefined ? [] : [provokes]), `${kind} ${code}`]
  expect([...new Set(told)]).toEqual(expected)
  const atMs = new Map<string, number>()
  for (const notice of notices) {
    const about = `${notice.kind} ${notice.subject}`
    const lastMs = atMs.get(about) ?? Number.NEGATIVE_INFINITY
    expect(notice.atMs - lastMs, about).toBeGreaterThanOrEqual(hourMs)
    atMs.set(about, notice.atMs)
  }
}

function underAttack(rows: readonly Attacker[]): void {
  it.each(rows.map((row) => [`${row.who} ${row.does}`, row] as const))('%s', async (_, row) => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    const before = device.running()
    expect(before).toEqual([expect.stringMatching(/^motor@1\.0\.0 /)])
    const honest = honestOf(publisher.repository.model)

    await row.act(device, publisher)
    expect(device.running()).toEqual(before)
    expectToldOnce(device.notices, row)
    expect(device.report?.attacks?.map(({ kind }) => kind)).toContain(row.kind)

    const again = await device.restart()
    expect(again.running()).toEqual(before)
    again.network = honestNetwork(publisher)
    restore(publisher, honest)
    await serviceGoesOn(again, publisher, row.nextGeneration ?? 2)
  })
}

function honestOf(model: Publisher['repository']['model']) {
  return {
    signers: { ...model.signers },
    targets: [...model.targets],
    delegated: new Map(model.delegated),
    delegations: [...model.delegations],
  }
}

/** The publishers sign anew, above whatever version the attacker had devices believe. */
function restore(publisher: Publisher, honest: ReturnType<typeof honestOf>): void {
  const { repository } = publisher
  repository.next((model) => {
    model.signers = { ...honest.signers, root: model.signers.root }
    model.targets = honest.targets
    model.delegations = honest.delegations
    model.versions.targets += 10
    model.versions.snapshot += 10
    model.versions.timestamp += 10
    // A role that the thief made devices know may not vanish: clause 5.5.5 calls that a rollback.
    const wider = model.delegated.get('wider')
    if (wider !== undefined) model.delegated.set('wider', { ...wider, version: 11 })
    for (const [name, role] of honest.delegated) {
      model.delegated.set(name, { ...role, version: role.version + 10 })
    }
  })
}

describe('who has the controller, its database or its messages', () => {
  underAttack(CONTROLLER_ROWS)
})

describe('who has some keys of the publishers', () => {
  underAttack(KEY_ROWS)
})

describe('who keeps back what a delegated role signed', () => {
  it('is noticed once it expires; the release serves on', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    publisher.repository.next((model) => {
      const later = startMs + 30 * dayMs
      model.expiresMs = { root: later, timestamp: later, snapshot: later, targets: later }
      const expires = `${new Date(startMs + 2 * hourMs).toISOString().slice(0, 19)}Z`
      model.twist.production = (signed) => ({ ...signed, expires })
      model.delegated.set('production', { ...model.delegated.get('production')!, version: 2 })
    })
    publisher.repository.nextRoot()
    const slots = [publisher.slot('motor@1.9.0')]
    await device.assign(publisher.assignment(2, slots, { minSnapshot: 2 }))
    await device.pass(300_000)
    expect(device.running()).toEqual([expect.stringMatching(/^motor@1\.9\.0 /)])
    await device.pass(4 * hourMs)
    const told = device.notices.map(({ attack, problem }) => `${attack} ${problem.code}`)
    expect(told).toContain('freeze tuf.expired')
    expect(device.running()).toEqual([expect.stringMatching(/^motor@1\.9\.0 /)])
  })
})

describe('who may sign for staging alone', () => {
  it('cannot hide from a production device that its release was withdrawn', async () => {
    const publisher = new Publisher()
    const device = await servingDevice(publisher)
    const withdrawn = publisher.repository.model.targets.filter(({ path }) =>
      path.startsWith('motor/1.0.0/'),
    )
    stage(publisher, (targets) => [...targets, ...withdrawn])
    publisher.revoke('1.0.0')
    await device.look()
    await device.assign(publisher.assignment(2, [publisher.slot('motor@1.0.0')]))
    const codes = device.notices.map(({ problem }) => problem.code)
    expect(codes).toContain('release.revoked')
  })
})

describe('who has the network or the broker', () => {
  underAttack(NETWORK_ROWS)
})
