/**
 * The five traps of aedes 1.2 (design page wire.md). Each is first shown on plain aedes, so that
 * the test says when a new version no longer needs our fix, and then on our broker.
 */
import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import { Aedes } from 'aedes'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { EmbeddedBroker } from '../../../controller/broker/embedded-broker.ts'
import {
  cleanUp,
  cleanUpWith,
  connectClient,
  connectPacket,
  header,
  openPair,
  openRaw,
  publishPacket,
  startBroker,
  subscribePacket,
  tcpUrl,
  until,
} from './broker-fixture.ts'

afterEach(cleanUp)

async function startPlainAedes(): Promise<Aedes> {
  const aedes = await Aedes.createBroker()
  cleanUpWith(() => new Promise<void>((resolve) => aedes.close(resolve)))
  return aedes
}

const serveBy = (broker: EmbeddedBroker) => (end: Duplex) => broker.accept(end, 'tcp')

/** Subscribes and then never reads again. */
async function openStalled(serve: (end: Duplex) => void, clientId: string, filter: string) {
  const end = openPair(serve)
  end.write(Buffer.concat([connectPacket({ clientId, username: 'consumer' })]))
  await new Promise((resolve) => end.once('readable', resolve))
  end.read()
  end.write(subscribePacket(filter))
  await new Promise((resolve) => end.once('readable', resolve))
  end.read()
}

async function openReader(serve: (end: Duplex) => void, clientId: string, filter: string) {
  const end = openPair(serve)
  let bytes = 0
  end.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  end.write(connectPacket({ clientId, username: 'consumer' }))
  await until(() => bytes >= 4)
  end.write(subscribePacket(filter))
  await until(() => bytes >= 9)
  return { bytes: () => bytes }
}

describe('trap 1: one stalled subscriber freezes everybody', () => {
  const topic = 'ln1/f/c/alert/page'
  const payload = Buffer.alloc(4096, 1)
  const messages = 400

  it('in plain aedes the other subscriber gets only what went out before the freeze', async () => {
    const aedes = await startPlainAedes()
    const serve = (end: Duplex) => void aedes.handle(end)
    await openStalled(serve, 'stalled', topic)
    const reader = await openReader(serve, 'reader', topic)
    for (let i = 0; i < messages; i++) {
      const packet = { cmd: 'publish', dup: false, topic, payload, qos: 0, retain: false } as const
      aedes.publish(packet, () => {})
    }
    // Longer than our broker's limit of two seconds: still frozen.
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(reader.bytes()).toBeLessThan((messages / 2) * payload.length)
  })

  it('in ours the stalled one is dropped and the other gets everything', async () => {
    const broker = await startBroker()
    const left: string[] = []
    broker.onPresence((event) => {
      if (event.kind === 'disconnected') left.push(`${event.clientId}: ${event.reason}`)
    })
    await openStalled(serveBy(broker), 'stalled', topic)
    const reader = await openReader(serveBy(broker), 'reader', topic)
    const sent = Array.from({ length: messages }, () =>
      broker.publish({ topic, payload, qos: 0, retain: false }),
    )
    await Promise.all(sent)
    await until(() => reader.bytes() > messages * payload.length)
    await until(() => left.length > 0)
    expect(left).toEqual(['stalled: stalled'])
    expect(broker.stats().refused).toEqual({ stalled: 1 })
  })
})

describe('trap 2: no packet size limit, even before authentication', () => {
  const announced = 80 * 1024 * 1024
  const sentBytes = 4 * 1024 * 1024

  it('plain aedes takes in megabytes of a CONNECT that never ends', async () => {
    const aedes = await startPlainAedes()
    const end = openPair((served) => void aedes.handle(served))
    end.write(header(0x10, announced))
    let taken = 0
    for (const chunk of Array.from({ length: sentBytes / 65_536 }, () => Buffer.alloc(65_536))) {
      // The callback means that the broker's side has read the chunk.
      await new Promise((resolve) => end.write(chunk, resolve))
      taken += chunk.length
    }
    expect(taken).toBe(sentBytes)
    expect(end.destroyed).toBe(false)
  })

  it('ours closes at the header of an oversized CONNECT, and counts it', async () => {
    const broker = await startBroker()
    const raw = openRaw(broker.tcpPort)
    raw.socket.write(header(0x10, announced))
    await until(raw.isClosed)
    expect(raw.received()).toHaveLength(0)
    expect(broker.stats().refused).toEqual({ packet_too_large: 1 })
  })

  it('ours closes at the header of an oversized PUBLISH too, and counts it', async () => {
    const broker = await startBroker()
    const raw = openRaw(broker.tcpPort)
    raw.socket.write(connectPacket({ clientId: 'dev' }))
    await until(() => raw.received().length >= 4)
    raw.socket.write(header(0x30, 256 * 1024))
    await until(raw.isClosed)
    expect(broker.stats().refused).toEqual({ packet_too_large: 1 })
    await until(() => broker.stats().connections === 0)
  })

  it('ours still takes the largest message that a topic allows', async () => {
    const broker = await startBroker()
    const sizes: number[] = []
    broker.onMessage((message) => void sizes.push(message.payload.length))
    const client = await connectClient(tcpUrl(broker), 'dev')
    await client.publishAsync('ln1/f/d/dev/up/report', Buffer.alloc(64 * 1024), { qos: 1 })
    expect(sizes).toEqual([64 * 1024])
  })
})

describe('trap 3: the retained look-up is linear for each subscribe', () => {
  // The matcher of aedes' persistence, tried once per retained topic and filter.
  const requireOfAedes = createRequire(createRequire(import.meta.url).resolve('aedes-persistence'))
  const { QlobberTrue } = requireOfAedes('qlobber') as {
    QlobberTrue: { prototype: { test(topic: string): boolean } }
  }
  const retained = 200
  const topicOf = (i: number) => `ln1/f/d/dev${i}/dn/desired`
  const spyOnMatcher = () => {
    const spy = vi.spyOn(QlobberTrue.prototype, 'test')
    cleanUpWith(() => spy.mockRestore())
    return spy
  }

  it('plain aedes compares each subscribe with every retained topic', async () => {
    const aedes = await startPlainAedes()
    for (let i = 0; i < retained; i++) {
      const packet = { cmd: 'publish', dup: false, qos: 1, retain: true } as const
      const message = { ...packet, topic: topicOf(i), payload: 'x' }
      await new Promise<void>((resolve) => aedes.publish(message, () => resolve()))
    }
    const matcher = spyOnMatcher()
    const reader = await openReader((end) => void aedes.handle(end), 'dev7', topicOf(7))
    await until(() => reader.bytes() > 9 + topicOf(7).length)
    expect(matcher).toHaveBeenCalledTimes(retained)
  })

  it('ours answers an exact topic without comparing, and wildcards as before', async () => {
    const broker = await startBroker()
    for (let i = 0; i < retained; i++) {
      await broker.publish({ topic: topicOf(i), payload: `for ${i}`, qos: 1, retain: true })
    }
    const matcher = spyOnMatcher()
    const got: string[] = []
    const client = await connectClient(tcpUrl(broker), 'dev7')
    client.on('message', (topic, payload, packet) => {
      got.push(`${topic} ${payload} ${packet.retain}`)
    })
    await client.subscribeAsync(topicOf(7), { qos: 1 })
    await until(() => got.length === 1)
    expect(got).toEqual([`${topicOf(7)} for 7 true`])
    expect(matcher).not.toHaveBeenCalled()

    await client.subscribeAsync('ln1/f/d/dev7/dn/+', { qos: 1 })
    await until(() => got.length === 2)
    expect(got[1]).toBe(got[0])
    expect(matcher).toHaveBeenCalledTimes(retained)
  })

  it('ours forgets what an empty message clears', async () => {
    const broker = await startBroker()
    await broker.publish({ topic: topicOf(1), payload: 'x', qos: 1, retain: true })
    await broker.publish({ topic: topicOf(1), payload: '', qos: 1, retain: true })
    await broker.publish({ topic: 'ln1/f/c/state', payload: 'after', qos: 1, retain: true })
    const got: string[] = []
    const client = await connectClient(tcpUrl(broker), 'dev1')
    client.on('message', (topic) => void got.push(topic))
    await client.subscribeAsync([topicOf(1), 'ln1/f/c/state'], { qos: 1 })
    await until(() => got.length > 0)
    expect(got).toEqual(['ln1/f/c/state'])
  })
})

describe('trap 4: PUBACK goes out before anything is stored', () => {
  it('our ingest gets every publish, in order', async () => {
    const broker = await startBroker()
    const got: string[] = []
    broker.onMessage(({ topic, payload, clientId, qos }) => {
      got.push(`${clientId} ${topic} ${Buffer.from(payload)} ${qos}`)
    })
    const client = await connectClient(tcpUrl(broker), 'dev')
    const numbers = Array.from({ length: 500 }, (_, i) => i)
    const topic = 'ln1/f/d/dev/up/telemetry'
    await Promise.all(numbers.map((n) => client.publishAsync(topic, `${n}`, { qos: 1 })))
    expect(got).toEqual(numbers.map((n) => `dev ${topic} ${n} 1`))
    expect(broker.stats().messagesIn).toBe(500)
  })

  it('a PUBACK comes even when the ingest fails: it is no receipt', async () => {
    const broker = await startBroker()
    broker.onMessage(() => {
      throw new Error('the database is gone')
    })
    const client = await connectClient(tcpUrl(broker), 'dev')
    const acknowledged = await client.publishAsync('ln1/f/d/dev/up/report', 'x', { qos: 1 })
    expect(acknowledged).toBeDefined()
    expect(broker.stats().refused).toEqual({ handler_failed: 1 })
  })
})

describe('trap 5: $share is granted and then delivers nothing', () => {
  const filter = '$share/group/ln1/f/c/state'

  it('in plain aedes', async () => {
    const aedes = await startPlainAedes()
    const end = openPair((served) => void aedes.handle(served))
    const received: Buffer[] = []
    end.on('data', (chunk: Buffer) => void received.push(chunk))
    const bytes = () => Buffer.concat(received)
    end.write(connectPacket({ clientId: 'reader' }))
    await until(() => bytes().length >= 4)
    end.write(Buffer.concat([subscribePacket(filter), subscribePacket('marker')]))
    await until(() => bytes().length >= 14)
    expect([...bytes().subarray(4, 9)]).toEqual([0x90, 3, 0, 1, 0])
    end.write(publishPacket('ln1/f/c/state', 'lost'))
    end.write(publishPacket('marker', 'seen'))
    await until(() => bytes().includes('seen'))
    expect(bytes().includes('lost')).toBe(false)
  })

  it('in ours it is refused with SUBACK 128', async () => {
    const broker = await startBroker()
    const raw = openRaw(broker.tcpPort)
    raw.socket.write(connectPacket({ clientId: 'reader', username: 'consumer' }))
    await until(() => raw.received().length >= 4)
    raw.socket.write(subscribePacket(filter))
    await until(() => raw.received().length >= 9)
    expect([...raw.received().subarray(4)]).toEqual([0x90, 3, 0, 1, 128])
    expect(broker.stats().refused).toEqual({ 'access.shared_subscription': 1 })
  })
})
