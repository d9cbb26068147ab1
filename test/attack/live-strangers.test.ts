/**
 * Who has the credentials of another device, an enrolment token, or a role too low, against the real
 * programs.
 */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { IClientOptions } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import { generatePrivateKey, nodeSigner } from '../../shared/node/signer-node.ts'
import { sealMessage } from '../../shared/protocol/frame.ts'
import { signEnrolment } from '../../shared/signing/enrolment.ts'
import { envelopeBytes } from '../../shared/signing/envelope.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'
import { MODEL } from '../e2e/motor-fleet.ts'
import { until } from '../e2e/stage.ts'
import { buildFacts } from '../fixtures/rollout-builders.ts'
import { type Between, standBetween } from './between.ts'
import { FLEET, LiveFleet, passwordFor, THIEF, VICTIM } from './live-fleet.ts'

const strangerKey = nodeSigner(generatePrivateKey('ed25519'))
let live: LiveFleet

beforeAll(async () => {
  live = await LiveFleet.start('strangers', { [THIEF]: 60_000 - Date.now() })
}, 240_000)
afterAll(() => live?.fleet.end(), 60_000)

describe('a device whose clock is in 1970', () => {
  test('was refused, asked for the time, and serves what it was assigned', async () => {
    await live.audited('connect', 'token.expired')
    const { report, lastSeenMs } = await live.fleet.device(THIEF)
    expect(report).toMatchObject({ status: 'applied', slots: [{ version: '1.0.0' }] })
    expect(lastSeenMs).toBeGreaterThan(Date.now() - 3_600_000)
    const { lines } = live.fleet.program(THIEF)
    const told = lines.filter((line) => line.includes('the controller told the time'))
    expect(told).toEqual([expect.stringMatching(/1970-01-01/)])
  })
})

describe('with the credentials of another device', () => {
  const foreign = (leaf: string) => `ln1/${FLEET}/d/${VICTIM}/${leaf}`

  test.each([
    foreign('dn/desired'),
    foreign('dn/#'),
    foreign('up/telemetry'),
    `ln1/${FLEET}/d/+/dn/desired`,
    `ln1/${FLEET}/d/${THIEF}/#`,
    `ln1/${FLEET}/#`,
    `ln1/${FLEET}/g/+/dn/pulse`,
    '#',
    '+/+/+/+/+/+',
    '$SYS/#',
    `$share/all/ln1/${FLEET}/d/${THIEF}/dn/desired`,
  ])('nothing is heard on %s', async (filter) => {
    const client = await live.asThief()
    const code = filter.startsWith('$share') ? 'shared_subscription' : 'subscribe_refused'
    const seen = await live.counted(`access.${code}`)
    const heard: string[] = []
    client.on('message', (topic) => heard.push(topic))
    const [granted] = await client.subscribeAsync(filter, { qos: 1 }).catch(() => [{ qos: 128 }])
    expect(granted?.qos).toBe(128)
    expect(await live.counted(`access.${code}`)).toBe(seen + 1)
    await live.serviceGoesOn()
    expect(heard).toEqual([])
    await client.endAsync(true)
  })

  test.each([
    ['another up/', foreign('up/state')],
    ['another dn/', foreign('dn/desired')],
    ['the controller', `ln1/${FLEET}/c/state`],
    ['$SYS', '$SYS/uptime'],
  ])('a last will on %s does not connect', async (_, topic) => {
    const seen = await live.counted('will_refused')
    const will = { topic, payload: Buffer.from('x'), qos: 1 as const, retain: true }
    await expect(live.asThief({ will })).rejects.toThrow(/Not authorized/i)
    expect(await live.counted('will_refused')).toBe(seen + 1)
    await live.serviceGoesOn()
  })

  test.each<[string, string, () => IClientOptions]>([
    ['the name of another', 'token.signature', () => named(passwordFor(VICTIM, live.thiefKey))],
    [
      'a token for another',
      'token.subject',
      () => ({ password: passwordFor(VICTIM, live.thiefKey) }),
    ],
    [
      'a token for another fleet',
      'token.audience',
      () => ({ password: passwordFor(THIEF, live.thiefKey, { fleet: 'other' }) }),
    ],
    [
      'a token of an hour',
      'token.lifetime',
      () => ({ password: passwordFor(THIEF, live.thiefKey, { lifetimeMs: 3_600_000 }) }),
    ],
    [
      'a token that ran out',
      'token.expired',
      () => ({ password: passwordFor(THIEF, live.thiefKey, { nowMs: Date.now() - 900_000 }) }),
    ],
    ['the key of nobody', 'token.signature', () => ({ password: passwordFor(THIEF, strangerKey) })],
    ['no token', 'token.malformed', () => ({})],
    ['another client id', 'access.client_id', () => ({ ...theirs(), clientId: VICTIM })],
    ['a device that nobody enrolled', 'access.unknown_device', () => ({ username: 'ghost' })],
  ])('%s does not connect, and nobody is thrown out', async (_, code, options) => {
    const { presence } = await live.fleet.device(VICTIM)
    await expect(live.connect(THIEF, options())).rejects.toThrow(/Not authorized/i)
    await live.audited('connect', code)
    await live.serviceGoesOn()
    expect((await live.fleet.device(VICTIM)).presence).toEqual(presence)
  })
  const named = (password: string): IClientOptions => ({
    ...{ clientId: VICTIM, username: VICTIM, password },
  })
  const theirs = (): IClientOptions => ({ password: passwordFor(THIEF, live.thiefKey) })

  test('a token serves once', async () => {
    const password = passwordFor(THIEF, live.thiefKey)
    const first = await live.connect(THIEF, { password })
    await expect(live.connect(THIEF, { password })).rejects.toThrow(/Not authorized/i)
    await live.audited('connect', 'token.replayed')
    expect(first.connected).toBe(true)
    await first.endAsync(true)
  })

  test('a token of a device opens nothing over HTTP', async () => {
    const headers = { authorization: `Bearer ${passwordFor(THIEF, live.thiefKey)}` }
    const answer = await fetch(`${live.fleet.url}/api/v1/devices`, { headers })
    expect([answer.status, (await answer.json()).error.code]).toEqual([401, 'auth.unknown'])
  })

  test.each([
    ['signed for the topic of another', { device: VICTIM }, 'frame.signature'],
    ['signed for another fleet', { fleet: 'other' }, 'frame.signature'],
    ['signed by a stranger', { signer: strangerKey }, 'frame.signature'],
  ])('a report %s is counted and changes nothing', async (_, change, code) => {
    const seen = await live.counted(code)
    const topic = `ln1/${FLEET}/d/${THIEF}/up/state`
    const { signer = live.thiefKey, ...address } = change as { signer?: SyncSigner }
    const presence = { status: 'lost', boot: 'boot-of-another', sinceMs: Date.now() } as const
    const where = { fleet: FLEET, device: THIEF, topic, ...address }
    const client = await live.asThief()
    await client.publishAsync(topic, Buffer.from(sealMessage('presence', presence, where, signer)))
    await until(code, async () => (await live.counted(code)) > seen)
    await live.serviceGoesOn()
    await client.endAsync(true)
  })

  test('two connections of it: the newer one stays', async () => {
    const first = await live.asThief()
    const second = await live.asThief()
    await until('the first is closed', async () => !first.connected)
    expect(second.connected).toBe(true)
    await second.endAsync(true)
    await live.serviceGoesOn()
  })
})

describe('with an enrolment token', () => {
  const enrol = async (token: string, device: string, key = strangerKey): Promise<string> => {
    const nonce = randomBytes(16).toString('hex')
    const request = { fleet: FLEET, device, token, nonce, facts: buildFacts() }
    return send(envelopeBytes(unwrap(signEnrolment(request, key))))
  }
  const send = async (body: Uint8Array): Promise<string> => {
    const answer = await fetch(`${live.fleet.url}/api/v1/enrol`, {
      ...{ method: 'POST', body: Buffer.from(body) },
    })
    return answer.ok ? 'ok' : (await answer.json()).error.code
  }
  const token = async (...flags: string[]): Promise<string> =>
    (await live.fleet.tell<{ token: string }>('device', 'token', ...flags)).token
  const other = nodeSigner(generatePrivateKey('ed25519'))

  test('that is made up', async () => {
    expect(await enrol('lne_made-up', 'ghost-1')).toBe('enrolment.token_unknown')
    await live.audited('enrol', 'enrolment.token_unknown')
  })

  test('that was used up, one device too many', async () => {
    const secret = await token('--uses', '1')
    expect(await enrol(secret, 'ghost-2')).toBe('ok')
    expect(await enrol(secret, 'ghost-3', other)).toBe('enrolment.token_used')
    await live.audited('enrol', 'enrolment.token_used')
  })

  test('the name of a device that is there, with another key', async () => {
    expect(await enrol(await token(), VICTIM, other)).toBe('enrolment.device_taken')
    await live.audited('enrol', 'enrolment.device_taken')
    await live.serviceGoesOn()
  })

  test('a request of another, signed again', async () => {
    const request = {
      fleet: FLEET,
      device: 'ghost-5',
      token: await token(),
      nonce: '00'.repeat(16),
    }
    const envelope = unwrap(signEnrolment({ ...request, facts: buildFacts() }, strangerKey))
    const [signature] = unwrap(signEnrolment({ ...request, facts: buildFacts() }, other)).signatures
    const forged = { ...envelope, signatures: [signature!] }
    expect(await send(envelopeBytes(forged))).toBe('enrolment.signature')
    await live.audited('enrol', 'enrolment.signature')
  })
})

describe('with a role too low', () => {
  test('a viewer hears of changes, and makes none', async () => {
    const { token } = await live.fleet.tell<{ token: string }>(
      'token',
      'create',
      'v',
      '--role',
      'viewer',
    )
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const events = await fetch(`${live.fleet.url}/api/v1/events`, { headers })
    expect(events.status).toBe(200)
    await events.body?.cancel()
    const url = `${live.fleet.url}/api/v1/devices/${VICTIM}/revoke`
    const answer = await fetch(url, { method: 'POST', headers, body: '{"note":""}' })
    expect([answer.status, (await answer.json()).error.code]).toEqual([403, 'auth.role'])
    await live.audited('deviceRevoke', 'auth.role')
    const { code, stderr } = await live.fleet.linnet(
      'device',
      'revoke',
      VICTIM,
      '--yes',
      '--token',
      token,
    )
    expect([code, stderr]).toEqual([2, expect.stringContaining('auth.role')])
    await live.serviceGoesOn()
  })
})

describe('who stands between, or has the disk', () => {
  interface Seen {
    readonly kind: string
    readonly code: string
  }
  const told = async (): Promise<Seen[]> =>
    (await live.fleet.device(THIEF)).notices.map(({ attack = '', problem }) => ({
      ...{ kind: attack, code: problem.code },
    }))
  const toldOf = (wanted: Seen) =>
    until(
      `${wanted.kind} ${wanted.code}`,
      async () => (await told()).some((one) => isDeepStrictEqual(one, wanted)),
      90_000,
      told,
    )
  const at = () => live.fleet.devices.find(({ device }) => device === THIEF)!
  const answers = async () => (await fetch(`${at().api}/v2/models/${MODEL}/ready`)).status === 200
  let between: Between

  beforeAll(async () => {
    between = await standBetween(live.fleet.url)
    between.slow.add('/timestamp.json')
    await live.fleet.startAgent(THIEF, '--controller', between.url)
  }, 120_000)
  afterAll(async () => {
    await live.fleet.program(THIEF).kill('SIGTERM')
    await between?.close()
  }, 60_000)

  test('metadata at one byte a second are given up and told', { timeout: 120_000 }, async () => {
    await toldOf({ kind: 'slow_retrieval', code: 'tuf.slow_retrieval' })
    expect(between.asked).toContain('/tuf/metadata/timestamp.json')
    expect(await answers()).toBe(true)
    await live.serviceGoesOn()
  })

  test('a file swapped after it was verified is not loaded: it is fetched again', {
    timeout: 120_000,
  }, async () => {
    between.slow.clear()
    const { report } = await live.fleet.device(THIEF)
    const { sha256 } = report!.slots[0]!
    const file = join(at().home, 'artifacts', sha256)
    const honest = await readFile(file)
    await writeFile(file, honest.toReversed())
    const host = await live.fleet.childOf(THIEF, 'host-main')
    process.kill(host, 'SIGKILL')
    await toldOf({ kind: 'arbitrary_software', code: 'artifact.digest' })
    await until('it answers again', answers, 60_000)
    expect((await readFile(file)).equals(honest)).toBe(true)
    expect(between.asked.filter((path) => path.includes(sha256))).not.toEqual([])
    await live.serviceGoesOn()
  })
})

describe('with credentials that are revoked', () => {
  test('a device that keeps its connection loses it, and does not come back', async () => {
    const client = await live.asThief()
    await live.fleet.tell('device', 'revoke', THIEF, '--yes')
    await until('its connection is closed', async () => !client.connected)
    await expect(live.asThief()).rejects.toThrow(/Not authorized/i)
    await live.audited('connect', 'access.revoked')
    await live.serviceGoesOn()
  })

  test('a token, its sessions and its links end together', async () => {
    const made = await live.fleet.tell<{ token: string }>(
      'token',
      'create',
      'leaving',
      '--role',
      'admin',
    )
    const headers = { authorization: `Bearer ${made.token}`, 'content-type': 'application/json' }
    const link = async (): Promise<string> => {
      const url = `${live.fleet.url}/api/v1/login-links`
      const body = JSON.stringify({ role: 'admin' })
      return (await (await fetch(url, { method: 'POST', headers, body })).json()).url
    }
    const [used, kept] = [await link(), await link()]
    const signedIn = await fetch(used, { redirect: 'manual' })
    const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? ''
    const session = () => fetch(`${live.fleet.url}/api/v1/session`, { headers: { cookie } })
    expect((await session()).status).toBe(200)
    expect((await fetch(used, { redirect: 'manual' })).status).toBe(401)
    await live.fleet.tell('token', 'revoke', 'leaving')
    expect((await session()).status).toBe(401)
    expect((await fetch(kept, { redirect: 'manual' })).status).toBe(401)
  })
})
