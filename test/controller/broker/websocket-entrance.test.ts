import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { EmbeddedBrokerOptions } from '../../../controller/broker/embedded-broker.ts'
import {
  cleanUp,
  cleanUpWith,
  connectClient,
  connectPacket,
  header,
  publishPacket,
  startBroker,
  until,
} from './broker-fixture.ts'

afterEach(cleanUp)

/** A broker on the upgrade event of an HTTP server that also answers requests. */
async function startServer(options: Partial<EmbeddedBrokerOptions> = {}) {
  const broker = await startBroker(options)
  const server: Server = createServer((_, response) => void response.end('console'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanUpWith(() => new Promise((resolve) => server.close(resolve)))
  broker.attach(server, (host) => host.startsWith('127.0.0.1'))
  const { port } = server.address() as AddressInfo
  return { broker, server, port, url: `ws://127.0.0.1:${port}/mqtt` }
}

interface Opened {
  readonly socket: WebSocket
  readonly outcome: Promise<string>
  received(): Buffer
  isClosed(): boolean
}

function open(url: string, origin?: string, protocols = ['mqtt'], host?: string): Opened {
  const headers = host === undefined ? {} : { host }
  const socket = new WebSocket(url, protocols, { headers, ...(origin && { origin }) })
  const chunks: Buffer[] = []
  socket.on('message', (data) => void chunks.push(data as Buffer))
  const outcome = new Promise<string>((resolve) => {
    socket.on('open', () => resolve('open'))
    socket.on('error', (error) => resolve(error.message))
  })
  cleanUpWith(() => socket.terminate())
  return {
    socket,
    outcome,
    received: () => Buffer.concat(chunks),
    isClosed: () => socket.readyState === WebSocket.CLOSED,
  }
}

async function openDevice(url: string) {
  const opened = open(url)
  await opened.outcome
  opened.socket.send(connectPacket({ clientId: 'dev' }))
  await until(() => opened.received().length >= 4)
  return opened
}

describe('MQTT over WebSocket', () => {
  it('carries messages both ways beside ordinary requests', async () => {
    const { broker, port, url } = await startServer()
    const up: string[] = []
    const down: string[] = []
    broker.onMessage(({ topic, payload }) => up.push(`${topic} ${payload.length}`))
    broker.onPresence(({ transport }) => up.push(transport))
    const client = await connectClient(url, 'dev')
    client.on('message', (topic, payload) => void down.push(`${topic} ${payload}`))
    await client.subscribeAsync('ln1/f/d/dev/dn/#', { qos: 1 })
    await client.publishAsync('ln1/f/d/dev/up/report', Buffer.alloc(60_000), { qos: 1 })
    await broker.publish({ topic: 'ln1/f/d/dev/dn/ack', payload: 'hi', qos: 0, retain: false })
    await until(() => down.length > 0)
    expect(up).toEqual(['websocket', 'ln1/f/d/dev/up/report 60000'])
    expect(down).toEqual(['ln1/f/d/dev/dn/ack hi'])
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('console')
  })

  it('takes packets cut into many frames and many packets in one frame', async () => {
    const { broker, url } = await startServer()
    const topics: string[] = []
    broker.onMessage(({ topic }) => void topics.push(topic))
    const { socket, outcome, received } = open(url)
    await outcome
    for (const byte of connectPacket({ clientId: 'dev' })) socket.send(Buffer.from([byte]))
    await until(() => received().length >= 4)
    const event = publishPacket('ln1/f/d/dev/up/event', 'x')
    socket.send(Buffer.concat([event, event, event.subarray(0, 5)]))
    socket.send(event.subarray(5))
    await until(() => topics.length === 3)
  })

  it('needs the subprotocol mqtt', async () => {
    const { broker, url } = await startServer()
    expect(await open(url, undefined, ['chat']).outcome).toContain('400')
    expect(await open(url, undefined, []).outcome).toContain('400')
    expect(broker.stats().refused).toEqual({ websocket_protocol: 2 })
  })

  it('refuses a page of a foreign origin unless it is listed', async () => {
    const { broker, port, url } = await startServer({ originsAllowed: ['https://app.example'] })
    expect(await open(url, `http://127.0.0.1:${port}`).outcome).toBe('open')
    expect(await open(url, 'https://app.example').outcome).toBe('open')
    for (const foreign of ['https://evil.example', 'null', 'http://127.0.0.1:1']) {
      expect(await open(url, foreign).outcome).toContain('403')
    }
    expect(broker.stats().refused).toEqual({ origin_refused: 3 })
  })

  it('refuses a page that has its own name point here (DNS rebinding)', async () => {
    const { broker, port, url } = await startServer()
    const host = `evil.example:${port}`
    expect(await open(url, `http://${host}`, ['mqtt'], host).outcome).toContain('421')
    expect(broker.stats().refused).toEqual({ host_unknown: 1 })
  })

  it('answers 404 on other paths, or leaves them to another listener', async () => {
    const { server, port } = await startServer()
    expect(await open(`ws://127.0.0.1:${port}/other`).outcome).toContain('404')
    server.on('upgrade', (request, socket) => {
      if (request.url === '/other') socket.end('HTTP/1.1 418 Teapot\r\n\r\n')
    })
    expect(await open(`ws://127.0.0.1:${port}/other`).outcome).toContain('418')
  })

  it('answers 503 when there are too many connections', async () => {
    const { broker, url } = await startServer({ limits: { connectionsMax: 1 } })
    await openDevice(url)
    expect(await open(url).outcome).toContain('503')
    expect(broker.stats().refused).toEqual({ connections_max: 1 })
  })

  it('closes one that sends nothing', async () => {
    const { broker, url } = await startServer({ limits: { connectTimeoutMs: 50 } })
    const { isClosed } = open(url)
    await until(isClosed)
    expect(broker.stats()).toMatchObject({ connections: 0, refused: { connect_timeout: 1 } })
  })
})

describe('garbage over WebSocket', () => {
  it.each<[string, (socket: WebSocket) => void, string]>([
    ['a text frame', (socket) => socket.send('hello'), 'text_frame'],
    ['no MQTT', (socket) => socket.send(Buffer.from('{}')), 'not_mqtt'],
    ['a huge CONNECT', (socket) => socket.send(header(0x10, 5_000)), 'packet_too_large'],
    ['a huge frame', (socket) => socket.send(Buffer.alloc(300_000)), 'packet_too_large'],
    [
      'a flood of small frames that never becomes a CONNECT',
      (socket) => {
        socket.send(header(0x10, 4_000))
        for (let i = 0; i < 20_000; i++) socket.send(Buffer.alloc(0))
      },
      'packet_too_large',
    ],
  ])('%s before CONNECT ends the connection with a count', async (_, send, code) => {
    const { broker, url } = await startServer()
    const { socket, outcome, isClosed } = open(url)
    await outcome
    send(socket)
    await until(isClosed)
    await until(() => broker.stats().connections === 0)
    expect(broker.stats().refused).toEqual({ [code]: 1 })
  })

  it.each<[string, (socket: WebSocket) => void, string]>([
    ['a text frame', (socket) => socket.send('hello'), 'text_frame'],
    ['a huge packet', (socket) => socket.send(header(0x30, 256 * 1024)), 'packet_too_large'],
    ['a huge frame', (socket) => socket.send(Buffer.alloc(300_000)), 'packet_too_large'],
  ])('%s after CONNECT too', async (_, send, code) => {
    const { broker, url } = await startServer()
    const { socket, isClosed } = await openDevice(url)
    send(socket)
    await until(isClosed)
    await until(() => broker.stats().connections === 0)
    expect(broker.stats().refused).toEqual({ [code]: 1 })
  })
})
