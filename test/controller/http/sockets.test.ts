/** The HTTP application on real sockets: events with resume, slow readers, draining. */
import { connect } from 'node:net'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createEventStreams } from '../../../controller/http/events.ts'
import { BODY_DEADLINE_MS } from '../../../controller/http/route-handler.ts'
import { type HttpServer, startHttpServer } from '../../../controller/http/server.ts'
import { buildHttp, type HttpFixture } from '../../fixtures/http-builder.ts'

let fixture: HttpFixture
let server: HttpServer
let origin: string

beforeEach(async () => {
  fixture = await buildHttp()
  server = await startHttpServer(fixture.http.hono, { host: '127.0.0.1', port: 0 })
  origin = `http://127.0.0.1:${server.port}`
})
afterEach(async () => {
  fixture.http.close()
  await server.close()
  await fixture.remove()
})

/** Reads events until `count` came; the ids in order. */
async function readEvents(count: number, headers: Record<string, string> = {}): Promise<number[]> {
  const response = await fetch(`${origin}/api/v1/events`, {
    headers: { authorization: `Bearer ${fixture.tokens.viewer}`, ...headers },
  })
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  const ids: number[] = []
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString('utf8')
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const id = /^id: (\d+)$/m.exec(text.slice(0, end))?.[1]
      if (id !== undefined) ids.push(Number(id))
      text = text.slice(end + 2)
    }
    if (ids.length >= count) break
  }
  return ids
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((r) => setTimeout(r, 10))
  expect(condition()).toBe(true)
}

test('a listener hears of changes as they come', async () => {
  const reading = readEvents(2)
  await until(() => fixture.application.listeners() === 1)
  fixture.application.change('rollout', 'r-1')
  fixture.application.change('device', 'press-1')
  expect(await reading).toEqual([1, 2])
  await until(() => fixture.application.listeners() === 0)
})

test('a listener that comes back with Last-Event-ID gets what it missed, once', async () => {
  for (let i = 0; i < 5; i++) fixture.application.change('rollout', `r-${i}`)
  expect(await readEvents(3, { 'last-event-id': '2' })).toEqual([3, 4, 5])
})

test('a listener that does not read is cut, and costs the others nothing', async () => {
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  const token = fixture.tokens.viewer
  socket.write(
    `GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  )
  socket.pause()
  await until(() => fixture.application.listeners() === 1)
  const reading = readEvents(1_000)
  await until(() => fixture.application.listeners() === 2)
  // More than kernel buffers hold: the stalled listener falls behind its 256 waiting events.
  const subject = 'x'.repeat(150)
  let sent = 0
  for (; sent < 200_000 && fixture.application.listeners() === 2; sent++) {
    fixture.application.change('rollout', subject)
    if (sent % 100 === 99) await new Promise((resolve) => setImmediate(resolve))
  }
  expect(sent).toBeLessThan(200_000)
  expect(fixture.application.listeners()).toBe(1)
  expect((await reading).length).toBeGreaterThanOrEqual(1_000)
  socket.destroy()
})

test('a half-sent request is cut when the server stops, and events end', async () => {
  const half = connect(server.port, '127.0.0.1')
  half.on('error', () => {})
  half.write('GET /healthz HTTP/1.1\r\nHost: 127.')
  const reading = readEvents(1)
  await until(() => fixture.application.listeners() === 1)
  fixture.http.close()
  expect(await reading).toEqual([])
  half.destroy()
})

test('a body that comes one byte at a time is given up after a minute, and its connection', async () => {
  const clock = vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const socket = connect(server.port, '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const head = 'POST /api/v1/enrol HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n'
  await new Promise<void>((sent) => socket.write(`${head}{`, () => sent()))
  const alive = await fetch(`${origin}/healthz`)
  expect([alive.status, answer]).toEqual([200, ''])
  clock.advanceTimersByTime(BODY_DEADLINE_MS)
  vi.useRealTimers()
  await closed
  expect(answer).toMatch(/^HTTP\/1.1 408 [\s\S]*http\.slow/)
})

test('a port in use is a coded error with the next step', async () => {
  const taken = startHttpServer(fixture.http.hono, { host: '127.0.0.1', port: server.port })
  await expect(taken).rejects.toMatchObject({
    problem: {
      code: 'http.port_in_use',
      next: `linnet controller --http-port ${server.port + 10}`,
    },
  })
})

test('garbage on the port is answered with 400 or cut, and the next request is served', async () => {
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  const ended = new Promise((resolve) => socket.once('close', resolve))
  socket.write(Buffer.from([0x10, 0x20, 0x00, 0x04, 0x4d, 0x51, 0x54, 0x54, 0x0a, 0x0a]))
  socket.resume()
  await ended
  expect((await fetch(`${origin}/healthz`)).status).toBe(200)
})

test('a range over a real socket has exactly its bytes', async () => {
  const bytes = new Uint8Array(300_000).fill(7)
  const sha256 = 'a'.repeat(64)
  fixture.application.artifacts.set(sha256, bytes)
  const response = await fetch(`${origin}/api/v1/artifacts/${sha256}`, {
    headers: { range: 'bytes=100000-299999' },
  })
  expect(response.status).toBe(206)
  expect((await response.arrayBuffer()).byteLength).toBe(200_000)
  const head = await fetch(`${origin}/api/v1/artifacts/${sha256}`, { method: 'HEAD' })
  expect(head.headers.get('content-length')).toBe('300000')
})

test('a listener whose token is revoked hears nothing after the next heartbeat', async () => {
  let isAdmitted = true
  const clock = vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  const events = createEventStreams(fixture.application)
  const opened = events.open(new Request(`${origin}/api/v1/events`), () => isAdmitted)
  const reader = (opened.ok ? opened.value.body : null)?.getReader()
  clock.advanceTimersByTime(10_000)
  expect(events.size()).toBe(1)
  isAdmitted = false
  clock.advanceTimersByTime(10_000)
  vi.useRealTimers()
  fixture.application.change('rollout', 'r-1')
  let text = ''
  for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
    text += Buffer.from(next.value).toString('utf8')
  }
  expect([text, events.size()]).toEqual(['retry: 2000\n:\n\n:\n\n', 0])
})
