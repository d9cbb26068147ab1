import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../controller/db/memory-store.ts'
import { createDeviceAccess } from '../../controller/device-access.ts'
import { createLedger, type Ledger } from '../../controller/ledger.ts'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { findBrokenLink } from '../../shared/signing/audit-chain.ts'
import { mintDeviceJwt } from '../../shared/signing/device-jwt.ts'
import { keyId } from '../../shared/signing/keys.ts'
import {
  ada,
  buildFleet,
  createTestDevice,
  enrolmentBody,
  FLEET,
  type TestFleet,
} from '../fixtures/controller-builder.ts'
import { buildFacts, startMs } from '../fixtures/rollout-builders.ts'
import { signerNumber } from '../shared/signing/build-assignment.ts'

async function token(fleet: TestFleet, uses = 1, labels = {}): Promise<string> {
  const options = { uses, expiresInSeconds: 60, labels }
  return unwrap(await fleet.controller.application.createEnrolmentToken(options, ada)).token
}

const newDevice = (fleet: TestFleet, name: string) =>
  createTestDevice(name, fleet.broker, fleet.clock)

describe('enrolment', () => {
  it('admits a device, with the labels of its token', async () => {
    const fleet = await buildFleet()
    const secret = await token(fleet, 1, { site: 'hall-2' })
    const device = newDevice(fleet, 'press-1')
    const { application } = fleet.controller
    const answer = unwrap(await application.enrol(enrolmentBody(device, secret, buildFacts())))
    expect(answer).toMatchObject({ fleet: FLEET, device: 'press-1' })
    const shown = unwrap(await application.getDevice('press-1'))
    expect(shown.facts.labels).toEqual({ site: 'hall-2' })
    expect(shown.deviceKey).toBe(keyId(device.signer.key))
  })

  it('keeps no secret, only its digest', async () => {
    const fleet = await buildFleet()
    const secret = await token(fleet)
    expect(JSON.stringify((await fleet.store.load()).tokens)).not.toContain(secret)
  })

  it('spends a use once per device, and nothing when the same key asks again', async () => {
    const fleet = await buildFleet()
    const secret = await token(fleet, 2)
    const { application } = fleet.controller
    const [one, two, three] = ['p1', 'p2', 'p3'].map((name) => newDevice(fleet, name))
    const enrol = (device: typeof one) =>
      application.enrol(enrolmentBody(device!, secret, buildFacts()))
    for (const device of [one, one, one, two]) expect((await enrol(device)).ok).toBe(true)
    expect(await enrol(three)).toMatchObject({ error: { code: 'enrolment.token_used' } })
    fleet.clock.advance(61_000)
    expect((await enrol(one)).ok).toBe(true)
  })

  it('follows the facts of a device that asks again, and its labels with a token that admits', async () => {
    const fleet = await buildFleet()
    const first = await token(fleet, 1, { site: 'hall-1' })
    const device = newDevice(fleet, 'p1')
    const { application } = fleet.controller
    const enrol = async (secret: string, facts = {}) => {
      unwrap(await application.enrol(enrolmentBody(device, secret, buildFacts(facts))))
      return unwrap(await application.getDevice('p1')).facts
    }
    const line = { line: '4' }
    expect((await enrol(first, { labels: line })).labels).toEqual({ line: '4', site: 'hall-1' })
    const upgraded = await enrol(first, { agentVersion: '0.2.0', labels: { site: 'hall-9' } })
    expect(upgraded).toMatchObject({
      agentVersion: '0.2.0',
      labels: { line: '4', site: 'hall-1' },
    })
    const second = await token(fleet, 2, { site: 'hall-2' })
    expect((await enrol(second, { labels: { line: '5' } })).labels).toEqual({
      line: '5',
      site: 'hall-2',
    })
    const other = newDevice(fleet, 'p2')
    expect((await application.enrol(enrolmentBody(other, second, buildFacts()))).ok).toBe(true)
    expect(
      await application.enrol(enrolmentBody(device, second, buildFacts({ profile: 'toaster' }))),
    ).toMatchObject({ error: { code: 'enrolment.profile_unknown' } })
  })

  it('spends a use where a member takes labels or staging from a token', async () => {
    const fleet = await buildFleet()
    const { application } = fleet.controller
    const [p1, p2] = [newDevice(fleet, 'p1'), newDevice(fleet, 'p2')]
    const first = await token(fleet, 2)
    const enrol = async (device: typeof p1, secret: string, facts = {}) => {
      unwrap(await application.enrol(enrolmentBody(device, secret, buildFacts(facts))))
      return unwrap(await application.getDevice(device.name)).facts
    }
    for (const device of [p1, p2]) await enrol(device, first)
    const options = { uses: 1, expiresInSeconds: 60, labels: { site: 'hall-9' }, staging: true }
    const { token: second } = unwrap(await application.createEnrolmentToken(options, ada))
    const taken = { labels: { site: 'hall-9' }, staging: true }
    expect(await enrol(p1, second, { staging: true })).toMatchObject(taken)
    expect(await enrol(p1, second, { staging: true })).toMatchObject(taken)
    const late = await enrol(p2, second, { staging: true })
    expect([late.labels, late.staging ?? false]).toEqual([{}, false])
  })

  it('takes no older request of a member: recorded ones put nothing back', async () => {
    const fleet = await buildFleet()
    const { application } = fleet.controller
    const secret = await token(fleet)
    const device = newDevice(fleet, 'p1')
    const asked = (agentVersion: string, issuedAt?: number) =>
      enrolmentBody(device, secret, buildFacts({ agentVersion }), {
        ...(issuedAt !== undefined && { issuedAt }),
      })
    const enrol = async (body: Uint8Array) => {
      const answer = await application.enrol(body)
      const { agentVersion } = unwrap(await application.getDevice('p1')).facts
      return [answer.ok ? 'ok' : answer.error.code, agentVersion]
    }
    const first = asked('0.1.0', startMs)
    expect(await enrol(first)).toEqual(['ok', '0.1.0'])
    fleet.clock.advance(10_000)
    expect(await enrol(asked('0.2.0', startMs + 5_000))).toEqual(['ok', '0.2.0'])
    expect(await enrol(first)).toEqual(['enrolment.replayed', '0.2.0'])
    expect(await enrol(asked('0.3.0'))).toEqual(['enrolment.replayed', '0.2.0'])
    expect(await enrol(asked('0.3.0', startMs + 86_400_000))).toEqual([
      'enrolment.replayed',
      '0.2.0',
    ])
    expect(await enrol(asked('0.3.0', startMs + 9_000))).toEqual(['ok', '0.3.0'])
  })

  it('refuses, with a code each', async () => {
    const fleet = await buildFleet()
    const secret = await token(fleet, 9)
    const { application } = fleet.controller
    const device = newDevice(fleet, 'p1')
    unwrap(await application.enrol(enrolmentBody(device, secret, buildFacts())))
    const other = { ...newDevice(fleet, 'p1'), name: 'p1' }
    const fresh = newDevice(fleet, 'p2')
    const code = async (body: Uint8Array) => {
      const answer = await application.enrol(body)
      return answer.ok ? 'ok' : answer.error.code
    }
    const facts = buildFacts()
    expect(await code(enrolmentBody(other, secret, facts))).toBe('enrolment.device_taken')
    expect(await code(enrolmentBody(fresh, 'lne_guess', facts))).toBe('enrolment.token_unknown')
    const unknown = buildFacts({ profile: 'toaster' })
    expect(await code(enrolmentBody(fresh, secret, unknown))).toBe('enrolment.profile_unknown')
    expect(await code(utf8('{}'))).toBe('enrolment.malformed')
    const body = enrolmentBody(fresh, secret, facts)
    body[body.length - 10] = body[body.length - 10] === 0x30 ? 0x31 : 0x30
    expect(await code(body)).toMatch(/^enrolment\.(signature|malformed)$/)
    fleet.clock.advance(60_000)
    expect(await code(enrolmentBody(fresh, secret, facts))).toBe('enrolment.token_expired')
  })

  it('writes what was done and what was refused into an unbroken chain', async () => {
    const fleet = await buildFleet()
    const secret = await token(fleet)
    const { application } = fleet.controller
    await application.enrol(enrolmentBody(newDevice(fleet, 'p1'), secret, buildFacts()))
    await application.enrol(enrolmentBody(newDevice(fleet, 'p2'), secret, buildFacts()))
    const again = await fleet.restart()
    await token(again)
    const rows = (await fleet.store.audit(100)).toReversed()
    expect(rows.map(({ action, outcome }) => [action, outcome])).toEqual([
      ['create', 'done'],
      ['enrol', 'done'],
      ['enrol', 'enrolment.token_used'],
      ['create', 'done'],
    ])
    expect(findBrokenLink(rows)).toBeUndefined()
    expect(findBrokenLink(rows.toSpliced(1, 1))).toBe(3)
    expect(findBrokenLink(rows.with(1, { ...rows[1]!, actor: 'p9' }))).toBe(2)
  })
})

describe('device access', () => {
  const signer = signerNumber(7)
  const password = (more: Partial<Parameters<typeof mintDeviceJwt>[0]> = {}) =>
    utf8(
      mintDeviceJwt(
        {
          fleet: FLEET,
          device: 'p1',
          nowMs: startMs,
          lifetimeMs: 60_000,
          jti: '0123456789abcdef',
          ...more,
        },
        signer,
      ),
    )

  async function access(
    revokedAtMs: number | null = null,
    { ledger, atMs = startMs }: { ledger?: Ledger; atMs?: number } = {},
  ) {
    return accessOver(ledger ?? createLedger(await createMemoryStore().load()), revokedAtMs, atMs)
  }

  function accessOver(ledger: Ledger, revokedAtMs: number | null, startedAtMs: number) {
    ledger.put('devices', {
      device: 'p1',
      deviceKey: keyId(signer.key),
      publicKey: signer.key,
      facts: buildFacts(),
      enrolledAtMs: 0,
      revokedAtMs,
      approvedAtMs: 0,
    })
    const decide = createDeviceAccess({
      ...{ fleet: FLEET, ledger, verifier: nodeVerifier, startedAtMs },
      audit: { refused: () => undefined },
    })
    return (clientId: string, username: string, secret: Uint8Array, nowMs = startedAtMs) =>
      decide({ clientId, username, password: secret }, nowMs)
  }

  it('admits a device by a token of its key, once', async () => {
    const decide = await access()
    expect(decide('p1', 'p1', password())).toEqual({
      ok: true,
      value: { kind: 'device', fleet: FLEET, device: 'p1' },
    })
    expect(decide('p1', 'p1', password())).toMatchObject({ error: { code: 'token.replayed' } })
  })

  it('admits no token of before a restart, and a new one at once', async () => {
    const ledger = createLedger(await createMemoryStore().load())
    const used = password({ nowMs: startMs, jti: 'used-before-the-restart' })
    expect((await access(null, { ledger }))('p1', 'p1', used)).toMatchObject({ ok: true })
    const restartMs = startMs + 2_000
    const decide = await access(null, { ledger, atMs: restartMs })
    expect(decide('p1', 'p1', used)).toMatchObject({ error: { code: 'token.before_restart' } })
    const fresh = password({ nowMs: restartMs, jti: 'made-after-the-restart' })
    expect(decide('p1', 'p1', fresh)).toMatchObject({ ok: true })
    expect(decide('p1', 'p1', fresh)).toMatchObject({ error: { code: 'token.replayed' } })
  })

  it('admits no token of a clock that is ahead in two lives of the controller', async () => {
    const ledger = createLedger(await createMemoryStore().load())
    const ahead = password({ nowMs: startMs + 50_000, jti: 'of-a-clock-ahead-of-ours' })
    expect((await access(null, { ledger }))('p1', 'p1', ahead)).toMatchObject({ ok: true })
    const restartMs = startMs + 2_000
    const decide = await access(null, { ledger, atMs: restartMs })
    for (const laterMs of [0, 49_000, 60_000, 100_000]) {
      expect(decide('p1', 'p1', ahead, restartMs + laterMs)).toMatchObject({
        error: { code: 'token.before_restart' },
      })
    }
    const fresh = password({ nowMs: startMs + 53_000, jti: 'the-next-one-of-that-clock' })
    expect(decide('p1', 'p1', fresh)).toMatchObject({ ok: true })
  })

  it('lets a device whose clock is behind in as soon as it makes a token of this life', async () => {
    const decide = await access()
    const behind = (atMs: number) =>
      password({ nowMs: atMs - 30_000, jti: `of-a-clock-behind-${atMs}` })
    expect(decide('p1', 'p1', behind(startMs))).toMatchObject({
      error: { code: 'token.before_restart' },
    })
    const laterMs = startMs + 31_000
    expect(decide('p1', 'p1', behind(laterMs), laterMs)).toMatchObject({ ok: true })
  })

  it('refuses strangers, other names, other fleets, and revoked devices', async () => {
    const decide = await access()
    const code = (result: ReturnType<typeof decide>) => (result.ok ? 'ok' : result.error.code)
    expect(code(decide('p2', 'p2', password()))).toBe('access.unknown_device')
    expect(code(decide('p2', 'p1', password()))).toBe('access.client_id')
    expect(code(decide('p1', 'p1', password({ fleet: 'other' })))).toBe('token.audience')
    expect(code(decide('p1', 'p1', utf8('nonsense')))).toBe('token.malformed')
    const revoked = await access(1)
    expect(code(revoked('p1', 'p1', password()))).toBe('access.revoked')
  })
})
