import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { PresenceEvent } from '../../../controller/broker/broker.ts'
import type { EmbeddedBroker } from '../../../controller/broker/embedded-broker.ts'
import {
  cleanUp,
  connectClient,
  connectPacket,
  openPair,
  openRaw,
  publishPacket,
  startBroker,
  subscribePacket,
  tcpUrl,
  testAccess,
  until,
} from './broker-fixture.ts'

afterEach(cleanUp)

const CONNACK = { accepted: '20020000', version: '20020001', id: '20020002', refused: '20020005' }
const UP = 'ln1/f/d/dev/up'

function collect(broker: EmbeddedBroker) {
  const messages: string[] = []
  const presence: string[] = []
  broker.onMessage(({ topic, payload }) => messages.push(`${topic} ${Buffer.from(payload)}`))
  broker.onPresence(({ kind, clientId, reason }: PresenceEvent) =>
    presence.push(`${kind} ${clientId} ${reason}`),
  )
  return { messages, presence }
}

async function openDevice(port: number, clientId = 'dev') {
  const raw = openRaw(port)
  raw.socket.write(connectPacket({ clientId }))
  await until(() => raw.received().length >= 4)
  return raw
}

describe('who gets in', () => {
  it.each([
    ['a wrong password', { clientId: 'dev', password: 'guess' }, CONNACK.refused, 'auth.bad_token'],
    ['another user name', { clientId: 'dev', username: 'x' }, CONNACK.refused, 'auth.client_id'],
    ['MQTT 5', { clientId: 'dev', version: 5 }, CONNACK.version, 'mqtt_version'],
  ])('not %s: CONNACK says so, then the connection ends', async (_, fields, connack, code) => {
    const broker = await startBroker()
    const { presence } = collect(broker)
    const raw = openRaw(broker.tcpPort)
    raw.socket.write(connectPacket(fields))
    await until(raw.isClosed)
    expect(raw.received().toString('hex')).toBe(connack)
    expect(broker.stats().refused).toEqual({ [code]: 1 })
    expect(presence).toEqual([])
  })

  it('CONNACK 3 when authentication itself breaks', async () => {
    const broken = { ...testAccess, authenticate: () => Promise.reject(new Error('no database')) }
    const broker = await startBroker({ access: broken })
    const raw = openRaw(broker.tcpPort)
    raw.socket.write(connectPacket({ clientId: 'dev' }))
    await until(raw.isClosed)
    expect(raw.received().toString('hex')).toBe('20020003')
    expect(broker.stats().refused).toEqual({ authenticate_failed: 1, internal_error: 1 })
  })

  it('tells when a device comes and how it goes', async () => {
    const broker = await startBroker()
    const { presence } = collect(broker)
    const client = await connectClient(tcpUrl(broker), 'dev')
    await until(() => presence.length === 1)
    expect(broker.stats().clients).toBe(1)
    await client.endAsync()
    await until(() => presence.length === 2)
    expect(presence).toEqual(['connected dev accepted', 'disconnected dev ended'])
    expect(broker.stats()).toMatchObject({ clients: 0, connections: 0, refused: {} })
  })

  it('answers "no session present" to a client that wants its old session', async () => {
    const broker = await startBroker()
    const first = await connectClient(tcpUrl(broker), 'dev', { clean: false })
    await first.subscribeAsync('ln1/f/d/dev/dn/command', { qos: 1 })
    await first.endAsync()
    const raw = openRaw(broker.tcpPort)
    raw.socket.write(connectPacket({ clientId: 'dev' }))
    await until(() => raw.received().length >= 4)
    expect(raw.received().toString('hex')).toBe(CONNACK.accepted)
    const topic = 'ln1/f/d/dev/dn/command'
    await broker.publish({ topic, payload: 'x', qos: 1, retain: false })
    expect(raw.received()).toHaveLength(4)
  })
})

describe('the same client id twice', () => {
  it('the same device takes over, after its last will', async () => {
    const broker = await startBroker()
    const { messages, presence } = collect(broker)
    const first = openRaw(broker.tcpPort)
    const will = { topic: `${UP}/state`, payload: 'lost' }
    first.socket.write(connectPacket({ clientId: 'dev', will }))
    await until(() => presence.length === 1)
    const second = await openDevice(broker.tcpPort)
    await until(() => presence.length === 3)
    expect(presence).toEqual([
      'connected dev accepted',
      'disconnected dev taken_over',
      'connected dev accepted',
    ])
    expect(first.isClosed()).toBe(true)
    expect(second.isClosed()).toBe(false)
    expect(messages).toEqual([`${UP}/state lost`])
    expect(broker.stats()).toMatchObject({ clients: 1, refused: {} })
  })

  it('somebody else may not throw a device out under its id', async () => {
    const broker = await startBroker()
    const device = await openDevice(broker.tcpPort)
    const thief = openRaw(broker.tcpPort)
    thief.socket.write(connectPacket({ clientId: 'dev', username: 'consumer' }))
    await until(thief.isClosed)
    expect(thief.received().toString('hex')).toBe(CONNACK.id)
    expect(device.isClosed()).toBe(false)
    expect(broker.stats().refused).toEqual({ client_id_taken: 1 })
  })

  it('a device takes its id back from a consumer that chose it', async () => {
    const broker = await startBroker()
    const squatter = openRaw(broker.tcpPort)
    squatter.socket.write(connectPacket({ clientId: 'dev', username: 'consumer' }))
    await until(() => broker.stats().clients === 1)
    const device = await openDevice(broker.tcpPort)
    await until(squatter.isClosed)
    expect(device.received().toString('hex')).toBe(CONNACK.accepted)
  })

  it('many at once leave exactly one', async () => {
    const broker = await startBroker()
    const raws = Array.from({ length: 20 }, () => openRaw(broker.tcpPort))
    for (const raw of raws) raw.socket.write(connectPacket({ clientId: 'dev' }))
    await until(() => raws.filter((raw) => raw.isClosed()).length === 19)
    await until(() => broker.stats().connections === 1)
    await until(() => broker.stats().clients === 1)
  })
})

describe('what a client may send', () => {
  it.each([
    ['an unknown topic', 'anything', 'x', false, 'access.topic_unknown'],
    ["another device's topic", 'ln1/f/d/you/up/state', 'x', true, 'access.publish_refused'],
    ['its own assignment', 'ln1/f/d/dev/dn/desired', 'x', true, 'access.publish_refused'],
    ['a retained report', `${UP}/report`, 'x', true, 'message.retain_refused'],
    ['too much', `${UP}/event`, 'x'.repeat(16_385), false, 'message.payload_too_large'],
  ])('not %s: dropped and counted, the client stays', async (_, topic, payload, retain, code) => {
    const broker = await startBroker()
    const { messages } = collect(broker)
    const client = await connectClient(tcpUrl(broker), 'dev')
    await client.publishAsync(topic, payload, { qos: 1, retain })
    await client.publishAsync(`${UP}/event`, 'still here', { qos: 1 })
    expect(messages).toEqual([`${UP}/event still here`])
    expect(broker.stats().refused).toEqual({ [code]: 1 })
  })

  it('nothing that was refused reaches or stays for anybody', async () => {
    const broker = await startBroker()
    const got: string[] = []
    const victim = await connectClient(tcpUrl(broker), 'you')
    victim.on('message', (topic) => void got.push(topic))
    await victim.subscribeAsync('ln1/f/d/you/dn/#')
    const client = await connectClient(tcpUrl(broker), 'dev')
    await client.publishAsync('ln1/f/d/you/dn/desired', 'evil', { qos: 1, retain: true })
    await broker.publish({ topic: 'ln1/f/d/you/dn/ack', payload: 'x', qos: 0, retain: false })
    await until(() => got.length > 0)
    await victim.subscribeAsync('ln1/f/d/you/dn/desired')
    expect(got).toEqual(['ln1/f/d/you/dn/ack'])
  })

  it('after 16 refused messages the next one ends the connection', async () => {
    const broker = await startBroker()
    const { presence } = collect(broker)
    const raw = await openDevice(broker.tcpPort)
    for (let i = 0; i < 16; i++) raw.socket.write(publishPacket('nowhere', 'x'))
    await until(() => broker.stats().refused['access.topic_unknown'] === 16)
    expect(raw.isClosed()).toBe(false)
    raw.socket.write(publishPacket('nowhere', 'x'))
    await until(raw.isClosed)
    await until(() => presence.length === 2)
    expect(presence[1]).toBe('disconnected dev refused_messages_max')
  })

  it('QoS 2 ends the connection', async () => {
    const broker = await startBroker()
    const { messages } = collect(broker)
    const raw = await openDevice(broker.tcpPort)
    raw.socket.write(publishPacket(`${UP}/event`, 'x', 2))
    await until(raw.isClosed)
    expect(messages).toEqual([])
    expect(broker.stats().refused).toEqual({ qos_2: 1 })
  })

  it('a filter above its own dn/ gets SUBACK 128, and so does one filter too many', async () => {
    const broker = await startBroker({ limits: { subscriptionsMax: 1 } })
    const raw = await openDevice(broker.tcpPort)
    const filters = ['ln1/f/d/+/dn/desired', 'ln1/f/c/state', 'ln1/f/d/dev/dn/#']
    for (const [i, filter] of filters.entries()) {
      raw.socket.write(subscribePacket(filter))
      await until(() => raw.received().length >= 4 + 5 * (i + 1))
    }
    const granted = filters.map((_, i) => raw.received()[4 + 5 * i + 4])
    expect(granted).toEqual([128, 0, 128])
    expect(broker.stats().refused).toEqual({
      'access.subscribe_refused': 1,
      subscriptions_max: 1,
    })
  })

  it('no retained topic beyond the limit, from clients or from us', async () => {
    const broker = await startBroker({ limits: { retainedTopicsMax: 1 } })
    const { messages } = collect(broker)
    const client = await connectClient(tcpUrl(broker), 'dev')
    await client.publishAsync(`${UP}/state`, 'one', { qos: 1, retain: true })
    await client.publishAsync(`${UP}/state`, 'two', { qos: 1, retain: true })
    const other = await connectClient(tcpUrl(broker), 'dev2')
    await other.publishAsync('ln1/f/d/dev2/up/state', 'x', { qos: 1, retain: true })
    expect(messages).toEqual([`${UP}/state one`, `${UP}/state two`])
    expect(broker.stats().refused).toEqual({ 'message.retained_full': 1 })
    const mine = broker.publish({ topic: 'ln1/f/c/state', payload: 'x', qos: 1, retain: true })
    await expect(mine).rejects.toMatchObject({ problem: { code: 'broker.retained_full' } })
  })
})

describe('last wills', () => {
  it('the will of a lost device is an ordinary message under up/', async () => {
    const broker = await startBroker()
    const { messages } = collect(broker)
    const raw = openRaw(broker.tcpPort)
    const will = { topic: `${UP}/state`, payload: 'lost' }
    raw.socket.write(connectPacket({ clientId: 'dev', will }))
    await until(() => broker.stats().clients === 1)
    raw.socket.destroy()
    await until(() => messages.length > 0)
    expect(messages).toEqual([`${UP}/state lost`])
  })

  it.each([
    ["on another device's topic", 'ln1/f/d/you/up/state', 'lost'],
    ['on an assignment', 'ln1/f/d/dev/dn/desired', 'evil'],
    ['retained where nothing is', `${UP}/report`, 'x'],
  ])('one %s refuses the CONNECT', async (_, topic, payload) => {
    const broker = await startBroker()
    const raw = openRaw(broker.tcpPort)
    raw.socket.write(connectPacket({ clientId: 'dev', will: { topic, payload } }))
    await until(raw.isClosed)
    expect(raw.received().toString('hex')).toBe(CONNACK.refused)
    expect(broker.stats().refused).toEqual({ will_refused: 1 })
  })

  it('one larger than its topic allows refuses the CONNECT', async () => {
    const broker = await startBroker({ limits: { connectBytesMax: 64 * 1024 } })
    const raw = openRaw(broker.tcpPort)
    const will = { topic: `${UP}/state`, payload: 'x'.repeat(16_385) }
    raw.socket.write(connectPacket({ clientId: 'dev', will }))
    await until(raw.isClosed)
    expect(broker.stats().refused).toEqual({ will_refused: 1 })
  })
})

describe('connections', () => {
  it('one that sends nothing is closed', async () => {
    const broker = await startBroker({ limits: { connectTimeoutMs: 50 } })
    const raw = openRaw(broker.tcpPort)
    await until(raw.isClosed)
    expect(broker.stats().refused).toEqual({ connect_timeout: 1 })
  })

  it('one whose authentication never ends is closed', async () => {
    const access = { ...testAccess, authenticate: () => new Promise<never>(() => {}) }
    const broker = await startBroker({ access, limits: { connectTimeoutMs: 50 } })
    const raw = openRaw(broker.tcpPort)
    raw.socket.write(connectPacket({ clientId: 'dev' }))
    await until(raw.isClosed)
    expect(broker.stats()).toMatchObject({ connections: 0, refused: { connect_timeout: 1 } })
  })

  it('one too many is closed at once, and there is room again when another leaves', async () => {
    const broker = await startBroker({ limits: { connectionsMax: 1 } })
    const first = await openDevice(broker.tcpPort)
    const second = openRaw(broker.tcpPort)
    await until(second.isClosed)
    expect(second.received()).toHaveLength(0)
    expect(broker.stats().refused).toEqual({ connections_max: 1 })
    first.socket.destroy()
    await until(() => broker.stats().connections === 0)
    await openDevice(broker.tcpPort)
  })

  it('the controller can end one, and knows then that its will is out', async () => {
    const broker = await startBroker()
    const { messages, presence } = collect(broker)
    const raw = openRaw(broker.tcpPort)
    const will = { topic: `${UP}/state`, payload: 'lost' }
    raw.socket.write(connectPacket({ clientId: 'dev', will }))
    await until(() => broker.stats().clients === 1)
    expect(await broker.disconnect('dev', 'revoked')).toBe(true)
    expect(messages).toEqual([`${UP}/state lost`])
    expect(presence[1]).toBe('disconnected dev revoked')
    await until(raw.isClosed)
    expect(await broker.disconnect('dev', 'revoked')).toBe(false)
  })

  it('a shutdown closes everything and tells no wills', async () => {
    const broker = await startBroker()
    const { messages } = collect(broker)
    const raw = openRaw(broker.tcpPort)
    const will = { topic: `${UP}/state`, payload: 'lost' }
    raw.socket.write(connectPacket({ clientId: 'dev', will }))
    await until(() => broker.stats().clients === 1)
    await broker.close()
    await until(raw.isClosed)
    expect(messages).toEqual([])
    openPair((served) => {
      broker.accept(served, 'tcp')
      expect(served.destroyed).toBe(true)
    })
    const late = broker.publish({ topic: 'ln1/f/c/state', payload: 'x', qos: 1, retain: true })
    await expect(late).rejects.toMatchObject({ problem: { code: 'broker.closed' } })
  })
})

describe('garbage on the port', () => {
  it('is closed with a count', async () => {
    const broker = await startBroker()
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\0\0\0\0', '\x16\x03\x01\x02\0', '{}']) {
      const raw = openRaw(broker.tcpPort)
      raw.socket.write(bytes)
      await until(raw.isClosed)
    }
    expect(broker.stats()).toMatchObject({ connections: 0, refused: { not_mqtt: 4 } })
  })

  it.each([
    ['a CONNECT of another protocol', Buffer.from('100c0006485454502f3104c2003c', 'hex')],
    ['a CONNECT that is cut short inside', Buffer.from('1006000a4d515454', 'hex')],
    ['an empty CONNECT', Buffer.from('1000', 'hex')],
    ['two CONNECTs', Buffer.concat([1, 2].map(() => connectPacket({ clientId: 'dev' })))],
    ['a wildcard in PUBLISH', with_(publishPacket('ln1/f/d/+/up/state', 'x'))],
    ['an empty topic', with_(publishPacket('', 'x'))],
    ['a topic of 100 levels', with_(publishPacket('/'.repeat(100), 'x'))],
    ['a filter that is none', with_(subscribePacket('ln1/f/#/x'))],
    ['a reserved packet type', with_(Buffer.from('f000', 'hex'))],
    ['a SUBSCRIBE without filters', with_(Buffer.from('82020001', 'hex'))],
  ])('%s is a protocol error', async (_, bytes) => {
    const broker = await startBroker()
    const raw = openRaw(broker.tcpPort)
    raw.socket.write(bytes)
    await until(raw.isClosed)
    await until(() => broker.stats().connections === 0)
    expect(broker.stats().refused).toEqual({ protocol_error: 1 })
  })

  function with_(bytes: Buffer): Buffer {
    return Buffer.concat([connectPacket({ clientId: 'dev' }), bytes])
  }

  it('never crashes the broker, whatever follows a CONNECT', async () => {
    const broker = await startBroker()
    const { presence } = collect(broker)
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 200 })
    await fc.assert(
      fc.asyncProperty(bytes, fc.boolean(), async (garbage, isKnown) => {
        const end = openPair((served) => broker.accept(served, 'tcp'))
        end.resume()
        if (isKnown) end.write(connectPacket({ clientId: 'fuzz' }))
        end.write(garbage)
        end.end()
        await until(() => broker.stats().connections === 0)
      }),
      { numRuns: 200 },
    )
    const client = await connectClient(tcpUrl(broker), 'dev')
    await client.publishAsync(`${UP}/event`, 'alive', { qos: 1 })
    expect(broker.stats().refused.internal_error).toBeUndefined()
    expect(presence.at(-1)).toBe('connected dev accepted')
  })
})

describe('what the controller publishes', () => {
  it.each([
    ['broker.topic_unknown', 'ln1/f/d/a b/dn/desired', 'x'],
    ['broker.topic_unknown', '$SYS/x', 'x'],
    ['broker.payload_too_large', 'ln1/f/c/state', 'x'.repeat(4097)],
  ])('%s is our bug and comes back as an error', async (code, topic, payload) => {
    const broker = await startBroker()
    const published = broker.publish({ topic, payload, qos: 1, retain: false })
    await expect(published).rejects.toMatchObject({ problem: { code } })
  })
})
