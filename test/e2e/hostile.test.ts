/**
 * What strangers, a stolen device key, somebody who owns the broker's lines and a damaged disk send:
 * it is refused with a code, counted, and the service goes on.
 */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import mqtt, { type MqttClient } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { loadSigner } from '../../shared/node/key-files.ts'
import { mintDeviceJwt } from '../../shared/signing/device-jwt.ts'
import { buildMotorFleet, MODEL, type MotorFleet, POLICY } from './motor-fleet.ts'
import { type MqttTap, openMqttTap, remainingLength } from './mqtt-tap.ts'
import type { Program } from './programs.ts'
import { until } from './stage.ts'

let fleet: MotorFleet
let tap: MqttTap
let started: readonly Program[]
/** An assignment that was overtaken since, as the director signed it. */
let older: Uint8Array

beforeAll(async () => {
  const profiles = { watched: 'raspberry-pi-5', thief: 'jetson-orin-nano', plain: 'intel-n100' }
  fleet = await buildMotorFleet(profiles, { seed: 'hostile', requestsPerSecond: 10 })
  older = await assignmentOf('watched')
  await fleet.program('thief').kill('SIGTERM')
  await fleet.program('watched').kill('SIGTERM')
  tap = await openMqttTap(fleet.mqttPort)
  const file = join(home('watched'), 'identity.json')
  const identity = JSON.parse(await readFile(file, 'utf8'))
  const mqttUrl = `mqtt://127.0.0.1:${tap.port}`
  await writeFile(file, JSON.stringify({ ...identity, mqttUrl }))
  await fleet.startAgent('watched')
  started = ['controller', 'watched', 'plain'].map((name) => fleet.program(name))
  await online('watched')
}, 240_000)

afterAll(async () => {
  await fleet?.end()
  await tap?.close()
}, 60_000)

const home = (device: string): string =>
  fleet.devices.find((known) => known.device === device)?.home ?? ''
const online = (device: string) =>
  until('online', async () => (await fleet.device(device)).presence?.status === 'online')

async function assignmentOf(device: string): Promise<Uint8Array> {
  const signer = await loadSigner(join(home(device), 'device-key.json'))
  const jti = randomBytes(16).toString('hex')
  const claims = { fleet: 'main', device, use: 'http' as const, nowMs: Date.now(), jti }
  const token = mintDeviceJwt({ ...claims, lifetimeMs: 60_000 }, signer)
  const answer = await fetch(`${fleet.url}/api/v1/devices/${device}/assignment`, {
    headers: { authorization: `Bearer ${token}` },
  })
  expect(answer.status).toBe(200)
  return new Uint8Array(await answer.arrayBuffer())
}

/** Refused by broker or ingest under this code, at least `count` times. */
const refused = (code: string, count = 1) =>
  until(
    `${count} of ${code}`,
    async () => {
      const { broker, messages } = await fleet.health()
      return (broker.refused[code] ?? 0) + (messages.refused[code] ?? 0) >= count
    },
    45_000,
    () => fleet.health(),
  )

const noticed = (device: string, code: string) =>
  until(
    `${device} tells of ${code}`,
    async () =>
      (await fleet.device(device)).notices.some(
        ({ kind, problem }) => kind === 'assignment_refused' && problem.code === code,
      ),
    45_000,
    async () => (await fleet.device(device)).notices,
  )

/** Sends and waits for the other side to end it, or a second. @returns what came back. */
function shout(port: number, bytes: Uint8Array): Promise<string> {
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

async function thiefClient(): Promise<MqttClient> {
  const signer = await loadSigner(join(home('thief'), 'device-key.json'))
  const claims = { fleet: 'main', device: 'thief', nowMs: Date.now(), lifetimeMs: 60_000 }
  const jti = randomBytes(16).toString('hex')
  return mqtt.connectAsync(`mqtt://127.0.0.1:${fleet.mqttPort}`, {
    ...{ clientId: 'thief', username: 'thief', reconnectPeriod: 0, protocolVersion: 4 },
    password: mintDeviceJwt({ ...claims, jti }, signer),
  })
}

describe('garbage on every port', () => {
  const garbage = [
    ['random bytes', randomBytes(8_192)],
    ['zeros', Buffer.alloc(8_192)],
    ['TLS', Buffer.from('16030100c8010000c403030000', 'hex')],
    ['endless headers', Buffer.from(`GET / HTTP/1.1\r\nx: ${'y'.repeat(40_000)}`)],
  ] as const

  test.each(garbage)('%s: the connection ends, nothing else', async (_, bytes) => {
    const localPorts = ['watched', 'plain'].map((device) =>
      Number(
        fleet.devices
          .find((known) => known.device === device)
          ?.api.split(':')
          .at(-1),
      ),
    )
    const httpPort = Number(new URL(fleet.url).port)
    const ports = [httpPort, fleet.mqttPort, ...localPorts]
    const answers = await Promise.all(ports.map((port) => shout(port, bytes)))
    for (const answer of answers) expect(answer).toMatch(/^$|^HTTP\/1.1 4\d\d/)
    await refused('not_mqtt')
  })

  test('a WebSocket that speaks no MQTT is closed, one without the protocol refused', async () => {
    const url = `${fleet.url.replace('http', 'ws')}/mqtt`
    const socket = new WebSocket(url, 'mqtt')
    socket.on('error', () => undefined)
    socket.on('open', () => socket.send(randomBytes(4_096)))
    await new Promise((closed) => socket.once('close', closed))
    const other = new WebSocket(url, 'chat')
    const error = await new Promise<Error>((failed) => other.once('error', failed))
    expect(error.message).toContain('400')
    await refused('websocket_protocol')
  })

  test('the API of the controller refuses with codes', async () => {
    const post = (path: string, body: string, headers: Record<string, string> = {}) =>
      fetch(fleet.url + path, { method: 'POST', body, headers })
    const token = (await readFile(join(fleet.home, 'token'), 'utf8')).trim()
    const signedIn = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const nobody = await post('/api/v1/rollouts', '{}')
    const broken = await post('/api/v1/rollouts', '{"', signedIn)
    const stranger = await post('/api/v1/enrol', randomBytes(64).toString('latin1'))
    const answers = [nobody, broken, stranger]
    const codes = await Promise.all(answers.map(async (each) => (await each.json()).error.code))
    expect(answers.map(({ status }) => status)).toEqual([401, 400, 400])
    expect(codes).toEqual(['auth.required', 'http.malformed', 'enrolment.malformed'])
  })

  test('the local API of an agent refuses with codes', async () => {
    const { api } = fleet.devices[2]!
    const ask = async (body: string) => {
      const answer = await fetch(`${api}/v2/models/${MODEL}/infer`, { method: 'POST', body })
      return [answer.status, answer.headers.get('linnet-code')]
    }
    const tensor = (more: object) =>
      JSON.stringify({
        inputs: [{ name: 'vibration', datatype: 'FP32', shape: [1, 3, 128], data: [1], ...more }],
      })
    expect(await ask('{"inputs":')).toEqual([400, 'request.malformed'])
    expect(await ask(tensor({}))).toEqual([400, 'infer.invalid_input'])
    expect(await ask(tensor({ name: 'other' }))).toEqual([400, 'infer.invalid_input'])
    expect(await ask(tensor({ shape: [1e9, 1e9] }))).toEqual([400, 'request.malformed'])
    const foreign = await fetch(`${api}/v2`, { headers: { origin: 'http://evil.example' } })
    expect([foreign.status, foreign.headers.get('linnet-code')]).toEqual([
      403,
      'request.foreign_origin',
    ])
  })
})

describe('oversized packets', () => {
  test('a CONNECT that announces 80 MB is cut before it is read', async () => {
    const head = Buffer.concat([Buffer.from([0x10]), remainingLength(80_000_000)])
    await shout(fleet.mqttPort, Buffer.concat([head, randomBytes(4_096)]))
    await refused('packet_too_large')
  })

  test('a device that sends 300 kB is cut, and one payload over its topic is dropped', async () => {
    const client = await thiefClient()
    client.on('error', () => undefined)
    await client.publishAsync('ln1/main/d/thief/up/event', randomBytes(20_000), { qos: 1 })
    await refused('message.payload_too_large')
    const before = (await fleet.health()).broker.refused.packet_too_large ?? 0
    client.publish('ln1/main/d/thief/up/telemetry', randomBytes(300_000))
    await refused('packet_too_large', before + 1)
    await client.endAsync(true)
  })
})

describe('a stolen device key on every topic', () => {
  test('on its own topics garbage is counted and never merged', async () => {
    const client = await thiefClient()
    const before = await fleet.stored(MODEL)
    for (const leaf of ['state', 'report', 'telemetry', 'event']) {
      await client.publishAsync(`ln1/main/d/thief/up/${leaf}`, randomBytes(512), { qos: 1 })
    }
    await refused('frame.malformed', 4)
    await client.endAsync()
    const mine = (rows: typeof before) => rows.filter((row) => row.profile === 'jetson-orin-nano')
    expect(mine(await fleet.stored(MODEL))).toEqual(mine(before))
  })

  test('on topics of others it reaches nobody, retained or not', async () => {
    const client = await thiefClient()
    const topics = [
      'ln1/main/d/watched/dn/desired',
      'ln1/main/d/watched/dn/command',
      'ln1/main/d/watched/dn/ack',
      'ln1/main/d/watched/up/telemetry',
      'ln1/main/g/any/dn/pulse',
      'ln1/main/c/state',
      'ln1/main/c/alert/critical',
    ]
    const before = (await fleet.health()).broker.refused['access.publish_refused'] ?? 0
    for (const topic of topics) {
      await client.publishAsync(topic, Buffer.from(older), { qos: 1, retain: true })
    }
    await client.publishAsync('anything/else', 'x', { qos: 1 })
    await refused('access.publish_refused', before + topics.length)
    await refused('access.topic_unknown')
    await client.endAsync()
  })
})

describe('somebody who owns the lines of the broker', () => {
  const desired = 'ln1/main/d/watched/dn/desired'

  beforeAll(async () => {
    const { generation } = await fleet.device('watched')
    await fleet.publishMotor('1.1.0')
    const id = await rollout('1.1.0')
    await until('1.1.0 promoted', async () => (await fleet.rollout(id)).state === 'promoted')
    await until('it serves', async () => {
      const { report } = await fleet.device('watched')
      return report?.slots.find(({ slot }) => slot === 'current')?.version === '1.1.0'
    })
    expect((await fleet.device('watched')).generation).toBeGreaterThan(generation)
  }, 120_000)

  test('a replayed older assignment is refused as such', async () => {
    tap.publish(desired, older)
    await noticed('watched', 'assignment.generation')
  })

  test('a changed one is refused for its signature', async () => {
    const text = Buffer.from(await assignmentOf('watched')).toString()
    tap.publish(desired, Buffer.from(text.replace(/("sig" *: *")(.)/, '$10$20').slice(0, -1)))
    tap.publish(desired, Buffer.from(text.replace('1.1.0', '1.0.0')))
    await noticed('watched', 'assignment.signature')
  })

  test("another device's is refused, rightly signed as it is", async () => {
    tap.publish(desired, await assignmentOf('plain'))
    await noticed('watched', 'assignment.device')
  })

  test('garbage on every topic that it listens to changes nothing', async () => {
    const topics = ['d/watched/dn/command', 'd/watched/dn/ack', 'g/any/dn/pulse', 'c/state']
    for (const topic of topics) tap.publish(`ln1/main/${topic}`, randomBytes(512))
    tap.publish(desired, randomBytes(512))
    await noticed('watched', 'assignment.malformed')
    const { report } = await fleet.device('watched')
    expect(report).toMatchObject({ status: 'applied', failures: [] })
    expect(report?.slots.find(({ slot }) => slot === 'current')?.version).toBe('1.1.0')
  })
})

describe('an artifact that rots on the disk of the controller', () => {
  test('is refused by every device, the rollout ends, and goes well once it is whole', async () => {
    await fleet.publishMotor('1.2.0')
    const params = { params: { model: MODEL, version: '1.2.0' } }
    const release = await fleet.client.call('releaseShow', params)
    if (!release.ok) throw new Error(release.error.message)
    const { sha256 } = release.value.manifest.variants[0]!.artifact
    const file = join(fleet.home, 'artifacts', sha256.slice(0, 2), sha256)
    const whole = await readFile(file)
    const rotten = Buffer.from(whole)
    rotten[1_000]! ^= 1
    await writeFile(file, rotten)
    const id = await rollout('1.2.0')
    const ended = await until('its end', async () => {
      const now = await fleet.rollout(id)
      return now.state === 'rolled_back' && now
    })
    expect(ended.reason.sentence).toContain('artifact.digest')
    await until('back at 1.1.0', async () => {
      const { report } = await fleet.device('plain')
      return report?.slots.every(({ version }) => version !== '1.2.0')
    })
    await writeFile(file, whole)
    const again = await rollout('1.2.0')
    await until(
      '1.2.0 promoted',
      async () => (await fleet.rollout(again)).state === 'promoted',
      90_000,
      () => fleet.rollout(again),
    )
  }, 180_000)
})

/** To the two devices that are there, in one wave. */
function rollout(candidate: string): Promise<string> {
  const baseline = candidate === '1.1.0' ? '1.0.0' : '1.1.0'
  return fleet.startRollout({
    ...{ model: MODEL, candidate, baseline },
    policy: { ...POLICY, minRequests: 20, minRequestsPerProfile: 5 },
    waves: [{ percent: 100, trafficPercent: 50 }],
    targets: { profiles: ['raspberry-pi-5', 'intel-n100'] },
  })
}

describe('after all of it', () => {
  test('the same processes run, and the undisturbed device lost no request', async () => {
    expect(started.map((program) => program.isRunning())).toEqual([true, true, true])
    expect((await fleet.health()).status).toBe('ok')
    expect(Object.fromEntries(fleet.traffic.counts.get('plain')?.failures ?? [])).toEqual({})
  })
})
