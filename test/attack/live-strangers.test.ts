/**
 * Who has no key of the controller, against the real programs: the credentials of another device,
 * enrolment tokens, a role too low, and whatever bytes a stranger sends. In each row what serves stays,
 * the refusal is told with its code, and requests go on.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import { loadSigner } from '../../shared/node/key-files.ts'
import { generatePrivateKey, nodeSigner } from '../../shared/node/signer-node.ts'
import { sealMessage } from '../../shared/protocol/frame.ts'
import { mintDeviceJwt } from '../../shared/signing/device-jwt.ts'
import { signEnrolment } from '../../shared/signing/enrolment.ts'
import { envelopeBytes } from '../../shared/signing/envelope.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'
import { buildMotorFleet, type MotorFleet } from '../e2e/motor-fleet.ts'
import { until } from '../e2e/stage.ts'
import { buildFacts } from '../fixtures/rollout-builders.ts'

const FLEET = 'main'
const VICTIM = 'press'
const THIEF = 'thief'

let fleet: MotorFleet
let thiefKey: SyncSigner
let before: unknown
const strangerKey = nodeSigner(generatePrivateKey('ed25519'))

beforeAll(async () => {
  const profiles = { [VICTIM]: 'raspberry-pi-5', [THIEF]: 'intel-n100' }
  fleet = await buildMotorFleet(profiles, { seed: 'strangers', requestsPerSecond: 10 })
  await fleet.program(THIEF).kill('SIGTERM')
  const at = fleet.devices.find(({ device }) => device === THIEF)!
  thiefKey = await loadSigner(join(at.home, 'device-key.json'))
  before = await serving()
}, 240_000)

afterAll(() => fleet?.end(), 60_000)

async function serving(): Promise<unknown> {
  const { report } = await fleet.device(VICTIM)
  return report?.slots.map(({ slot, model, version }) => `${slot} ${model}@${version}`)
}

/** What serves is what served, and ten more requests were answered, none of them lost. */
async function serviceGoesOn(): Promise<void> {
  const counts = fleet.traffic.counts.get(VICTIM)!
  const { answered } = counts
  await until('ten more answers', async () => counts.answered >= answered + 10)
  expect(Object.fromEntries(counts.failures)).toEqual({})
  expect(await serving()).toEqual(before)
  expect((await fleet.health()).status).toBe('ok')
}

const counted = async (code: string): Promise<number> => {
  const { broker, messages } = await fleet.health()
  return (broker.refused[code] ?? 0) + (messages.refused[code] ?? 0)
}

async function audited(action: string, outcome: string): Promise<void> {
  await until(
    `${action} ${outcome} in the audit trail`,
    async () => {
      const { entries } = await fleet.tell<{ entries: { action: string; outcome: string }[] }>(
        ...['audit', 'list', '--limit', '300'],
      )
      return entries.some((entry) => entry.action === action && entry.outcome === outcome)
    },
    20_000,
  )
}

function passwordFor(device: string, signer: SyncSigner, change = {}): string {
  const jti = randomBytes(16).toString('hex')
  const claims = {
    ...{ fleet: FLEET, device, use: 'mqtt' as const, nowMs: Date.now(), lifetimeMs: 60_000 },
    ...{ jti, ...change },
  }
  return mintDeviceJwt(claims, signer)
}

function connect(device: string, options: IClientOptions): Promise<MqttClient> {
  return mqtt.connectAsync(`mqtt://127.0.0.1:${fleet.mqttPort}`, {
    ...{ clientId: device, username: device, reconnectPeriod: 0, protocolVersion: 4 },
    ...options,
  })
}

const asThief = (options: IClientOptions = {}): Promise<MqttClient> =>
  connect(THIEF, { password: passwordFor(THIEF, thiefKey), ...options })

/** Sends bytes, says what came back until the other side ended it or a second passed. */
function shout(port: number, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(bytes))
    const end = () => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
    socket.on('error', end)
    socket.on('close', end)
    setTimeout(end, 1_000)
  })
}

const httpPort = (): number => Number(new URL(fleet.url).port)

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
    const client = await asThief()
    const heard: string[] = []
    client.on('message', (topic) => heard.push(topic))
    const [granted] = await client.subscribeAsync(filter, { qos: 1 }).catch(() => [{ qos: 128 }])
    expect(granted?.qos).toBe(128)
    await serviceGoesOn()
    expect(heard).toEqual([])
    await client.endAsync(true)
  })

  test.each([
    ['another up/', foreign('up/state')],
    ['another dn/', foreign('dn/desired')],
    ['the controller', `ln1/${FLEET}/c/state`],
    ['$SYS', '$SYS/uptime'],
  ])('a last will on %s does not connect', async (_, topic) => {
    const seen = await counted('will_refused')
    const will = { topic, payload: Buffer.from('x'), qos: 1 as const, retain: true }
    await expect(asThief({ will })).rejects.toThrow(/Not authorized/i)
    expect(await counted('will_refused')).toBe(seen + 1)
    await serviceGoesOn()
  })

  test.each<[string, string, () => IClientOptions]>([
    ['the name of another', 'token.signature', () => named(passwordFor(VICTIM, thiefKey))],
    ['a token for another', 'token.subject', () => ({ password: passwordFor(VICTIM, thiefKey) })],
    [
      'a token for another fleet',
      'token.audience',
      () => ({ password: passwordFor(THIEF, thiefKey, { fleet: 'other' }) }),
    ],
    [
      'a token of an hour',
      'token.lifetime',
      () => ({ password: passwordFor(THIEF, thiefKey, { lifetimeMs: 3_600_000 }) }),
    ],
    [
      'a token that ran out',
      'token.expired',
      () => ({ password: passwordFor(THIEF, thiefKey, { nowMs: Date.now() - 900_000 }) }),
    ],
    ['the key of nobody', 'token.signature', () => ({ password: passwordFor(THIEF, strangerKey) })],
    ['no token', 'token.malformed', () => ({})],
    ['another client id', 'access.client_id', () => ({ ...theirs(), clientId: VICTIM })],
    ['a device that nobody enrolled', 'access.unknown_device', () => ({ username: 'ghost' })],
  ])('%s does not connect, and nobody is thrown out', async (_, code, options) => {
    const { presence } = await fleet.device(VICTIM)
    await expect(connect(THIEF, options())).rejects.toThrow(/Not authorized/i)
    await audited('connect', code)
    await serviceGoesOn()
    expect((await fleet.device(VICTIM)).presence).toEqual(presence)
  })
  const named = (password: string): IClientOptions => ({
    ...{ clientId: VICTIM, username: VICTIM, password },
  })
  const theirs = (): IClientOptions => ({ password: passwordFor(THIEF, thiefKey) })

  test('a token serves once', async () => {
    const password = passwordFor(THIEF, thiefKey)
    const first = await connect(THIEF, { password })
    await expect(connect(THIEF, { password })).rejects.toThrow(/Not authorized/i)
    await audited('connect', 'token.replayed')
    expect(first.connected).toBe(true)
    await first.endAsync(true)
  })

  test('a token of a device opens nothing over HTTP', async () => {
    const headers = { authorization: `Bearer ${passwordFor(THIEF, thiefKey)}` }
    const answer = await fetch(`${fleet.url}/api/v1/devices`, { headers })
    expect([answer.status, (await answer.json()).error.code]).toEqual([401, 'auth.unknown'])
  })

  test.each([
    ['signed for the topic of another', { device: VICTIM }, 'frame.signature'],
    ['signed for another fleet', { fleet: 'other' }, 'frame.signature'],
    ['signed by a stranger', { signer: strangerKey }, 'frame.signature'],
  ])('a report %s is counted and changes nothing', async (_, change, code) => {
    const seen = await counted(code)
    const topic = `ln1/${FLEET}/d/${THIEF}/up/state`
    const { signer = thiefKey, ...address } = change as { signer?: SyncSigner }
    const presence = { status: 'lost', boot: 'boot-of-another', sinceMs: Date.now() } as const
    const where = { fleet: FLEET, device: THIEF, topic, ...address }
    const client = await asThief()
    await client.publishAsync(topic, Buffer.from(sealMessage('presence', presence, where, signer)))
    await until(code, async () => (await counted(code)) > seen)
    await serviceGoesOn()
    await client.endAsync(true)
  })

  test('two connections of it: the newer one stays', async () => {
    const first = await asThief()
    const second = await asThief()
    await until('the first is closed', async () => !first.connected)
    expect(second.connected).toBe(true)
    await second.endAsync(true)
    await serviceGoesOn()
  })
})

describe('with an enrolment token', () => {
  const enrol = async (token: string, device: string, key = strangerKey): Promise<string> => {
    const nonce = randomBytes(16).toString('hex')
    const request = { fleet: FLEET, device, token, nonce, facts: buildFacts() }
    return send(envelopeBytes(unwrap(signEnrolment(request, key))))
  }
  const send = async (body: Uint8Array): Promise<string> => {
    const answer = await fetch(`${fleet.url}/api/v1/enrol`, {
      ...{ method: 'POST', body: Buffer.from(body) },
    })
    return answer.ok ? 'ok' : (await answer.json()).error.code
  }
  const token = async (...flags: string[]): Promise<string> =>
    (await fleet.tell<{ token: string }>('device', 'token', ...flags)).token
  const other = nodeSigner(generatePrivateKey('ed25519'))

  test('that is made up', async () => {
    expect(await enrol('lne_made-up', 'ghost-1')).toBe('enrolment.token_unknown')
    await audited('enrol', 'enrolment.token_unknown')
  })

  test('that was used up, one device too many', async () => {
    const secret = await token('--uses', '1')
    expect(await enrol(secret, 'ghost-2')).toBe('ok')
    expect(await enrol(secret, 'ghost-3', other)).toBe('enrolment.token_used')
    await audited('enrol', 'enrolment.token_used')
  })

  test('the name of a device that is there, with another key', async () => {
    expect(await enrol(await token(), VICTIM, other)).toBe('enrolment.device_taken')
    await audited('enrol', 'enrolment.device_taken')
    await serviceGoesOn()
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
    await audited('enrol', 'enrolment.signature')
  })
})

describe('with a role too low', () => {
  test('a viewer hears of changes, and makes none', async () => {
    const { token } = await fleet.tell<{ token: string }>(
      'token',
      'create',
      'v',
      '--role',
      'viewer',
    )
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const events = await fetch(`${fleet.url}/api/v1/events`, { headers })
    expect(events.status).toBe(200)
    await events.body?.cancel()
    const url = `${fleet.url}/api/v1/devices/${VICTIM}/revoke`
    const answer = await fetch(url, { method: 'POST', headers, body: '{"note":""}' })
    expect([answer.status, (await answer.json()).error.code]).toEqual([403, 'auth.role'])
    await audited('deviceRevoke', 'auth.role')
    const { code, stderr } = await fleet.linnet(
      'device',
      'revoke',
      VICTIM,
      '--yes',
      '--token',
      token,
    )
    expect([code, stderr]).toEqual([2, expect.stringContaining('auth.role')])
    await serviceGoesOn()
  })
})

describe('with bytes alone', () => {
  const get = (path: string, host = `127.0.0.1:${httpPort()}`) =>
    shout(httpPort(), `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)

  test.each([
    '/tuf/targets/../../../../etc/passwd',
    '/tuf/targets/%2e%2e/%2e%2e/%2e%2e/linnet.db',
    '/tuf/targets/motor-vibration/1.0.0/..%2f..%2f..%2faccess.json',
    '/tuf/metadata/..%2f..%2ftoken',
    '/tuf/metadata/%2e%2e%5ctoken',
    '/demo/..%2f..%2fpackage.json',
    '/demo/../../package.json',
    '//etc/passwd',
    '/%00',
    '/artifacts/../keys/director.json',
    '/keys/director.json',
    '/token',
  ])('GET %s finds nothing', async (path) => {
    const answer = await get(path)
    expect(answer).toMatch(/^HTTP\/1.1 4\d\d/)
    expect(answer).not.toMatch(/root:|"name": "linnet"|lnt_|linnet\.access|pkcs8|SQLite/)
  })

  test('a name that points here from elsewhere is refused, over HTTP and WebSocket', async () => {
    expect(await get('/api/v1/session', 'evil.example')).toMatch(/^HTTP\/1.1 421/)
    const upgrade = [
      ...['GET /mqtt HTTP/1.1', 'Host: evil.example', 'Origin: http://evil.example'],
      ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
      ...['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Protocol: mqtt', '', ''],
    ]
    expect(await shout(httpPort(), upgrade.join('\r\n'))).toMatch(/^HTTP\/1.1 421/)
    expect(await counted('host_unknown')).toBe(1)
  })

  test.each([
    ['a body that says it is a gigabyte', 'Content-Length: 1000000000\r\n\r\n', /^HTTP\/1.1 413/],
    [
      'a body without end',
      `Transfer-Encoding: chunked\r\n\r\n${`8000\r\n${'x'.repeat(0x8000)}\r\n`.repeat(8)}`,
      /^HTTP\/1.1 413/,
    ],
    ['headers without end', `X: ${'y'.repeat(40_000)}\r\n\r\n`, /^HTTP\/1.1 431/],
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!', /^HTTP\/1.1 400/],
  ])('%s is refused', async (_, rest, answer) => {
    const head = `POST /api/v1/enrol HTTP/1.1\r\nHost: 127.0.0.1:${httpPort()}\r\n`
    expect(await shout(httpPort(), head + rest)).toMatch(answer)
    await serviceGoesOn()
  })

  test('hundreds who say nothing, or one byte at a time, hold nobody up', async () => {
    const sockets: Socket[] = []
    const open = (port: number, first: string) => {
      const socket = connectTcp(port, '127.0.0.1', () => socket.write(first))
      socket.on('error', () => undefined)
      sockets.push(socket)
    }
    for (let i = 0; i < 200; i++) {
      open(fleet.mqttPort, '')
      open(fleet.mqttPort, '\x10')
      open(
        httpPort(),
        'POST /api/v1/enrol HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{',
      )
      open(httpPort(), 'GET / HTTP/1.1\r\nX')
    }
    await serviceGoesOn()
    expect((await fleet.device(VICTIM)).presence?.status).toBe('online')
    const client = await asThief()
    expect(client.connected).toBe(true)
    await client.endAsync(true)
    for (const socket of sockets) socket.destroy()
  })
})

describe('with credentials that are revoked', () => {
  test('a device that keeps its connection loses it, and does not come back', async () => {
    const client = await asThief()
    await fleet.tell('device', 'revoke', THIEF, '--yes')
    await until('its connection is closed', async () => !client.connected, 20_000)
    await expect(asThief()).rejects.toThrow(/Not authorized/i)
    await audited('connect', 'access.revoked')
    await serviceGoesOn()
  })

  test('a token, its sessions and its links end together', async () => {
    const made = await fleet.tell<{ token: string }>(
      'token',
      'create',
      'leaving',
      '--role',
      'admin',
    )
    const headers = { authorization: `Bearer ${made.token}`, 'content-type': 'application/json' }
    const link = async (): Promise<string> => {
      const url = `${fleet.url}/api/v1/login-links`
      const body = JSON.stringify({ role: 'admin' })
      return (await (await fetch(url, { method: 'POST', headers, body })).json()).url
    }
    const [used, kept] = [await link(), await link()]
    const signedIn = await fetch(used, { redirect: 'manual' })
    const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? ''
    const session = () => fetch(`${fleet.url}/api/v1/session`, { headers: { cookie } })
    expect((await session()).status).toBe(200)
    expect((await fetch(used, { redirect: 'manual' })).status).toBe(401)
    await fleet.tell('token', 'revoke', 'leaving')
    expect((await session()).status).toBe(401)
    expect((await fetch(kept, { redirect: 'manual' })).status).toBe(401)
  })
})

test('secrets lie in files that only their owner reads', async () => {
  const { stat } = await import('node:fs/promises')
  for (const file of ['token', 'access.json', 'keys/director.json', 'keys/snapshot.json']) {
    expect((await stat(join(fleet.home, file))).mode & 0o077).toBe(0)
  }
  expect(await readFile(join(fleet.home, 'access.json'), 'utf8')).not.toContain('lnt_')
})
