/**
 * The short way of inference over real sockets. It may not be told from Node's own HTTP server by
 * anything but its speed: the same bytes go to a server with the lane and to one without.
 */
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createInferLane, type InferLane } from '../../../agent/serve/infer-lane.ts'
import { createInferListener } from '../../../agent/serve/infer-listener.ts'
import { createInferenceApi } from '../../../agent/serve/inference-api.ts'
import { type Listening, listen } from '../../../agent/serve/listen.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

const LIMITS = { requestBytesMax: 4_096, loopbackOnly: true }
let plane: BuiltPlane
let withLane: Listening
let without: Listening
/** Server's side of the connections that entered the lane. */
let entered: Socket[]
/** Requests that reached Node's server behind the lane. */
let leftOver: number

beforeEach(async () => {
  entered = []
  leftOver = 0
  plane = buildPlane()
  plane.put(buildLive((inputs) => SCORES(0.75, Number(inputs[0]?.data[1]))))
  const inner = createInferLane(plane, LIMITS)
  const lane: InferLane = {
    enter(socket, handOver, isUnix) {
      entered.push(socket)
      inner.enter(socket, handOver, isUnix)
    },
    close: inner.close,
  }
  const direct = createInferListener(plane, LIMITS)
  const options = { tcp: { host: '127.0.0.1', port: 0 }, socketPath: null }
  const fetchLike = createInferenceApi(plane, LIMITS)
  without = await listen(fetchLike, { ...options, direct })
  withLane = await listen(fetchLike, {
    ...options,
    lane,
    direct: (request, response) => {
      leftOver += 1
      return direct(request, response)
    },
  })
})
afterEach(async () => {
  vi.useRealTimers()
  await Promise.all([withLane.close(), without.close()])
})

const json = (id: string, value = 0.5): string =>
  JSON.stringify({ id, inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, value] }] })

/** A request; in `fields` each line ends with its break. */
const post = (body: string, fields = '', target = '/v2/models/tiny/infer'): string =>
  `POST ${target} HTTP/1.1\r\nHost: localhost\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`

/** Binary both ways: the float behind the header is all zeros and `id` tells the requests apart. */
function binary(id: string): string {
  const input = { name: 'x', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } }
  const parameters = { binary_data_output: true }
  const header = JSON.stringify({ id, parameters, inputs: [input] })
  return post(`${header}${'\0'.repeat(8)}`, `Inference-Header-Content-Length: ${header.length}\r\n`)
}

const LAST = 'GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'

function open({ port = 0 }: Listening): Socket {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true })
  socket.on('error', () => undefined)
  return socket
}

/** Sends the pieces, each in a turn of its own. @returns all that came until the connection ended. */
async function talk(to: Listening, ...pieces: readonly string[]): Promise<string> {
  const socket = open(to)
  let said = ''
  socket.on('data', (chunk) => {
    said += chunk.toString('latin1')
  })
  const ended = new Promise((resolve) => socket.once('end', resolve).once('close', resolve))
  for (const piece of pieces) {
    socket.write(piece, 'latin1')
    await new Promise((resolve) => setImmediate(resolve))
  }
  await ended
  socket.destroy()
  return said
}

interface Told {
  readonly line: string
  readonly fields: readonly string[]
  readonly body: string
}

/** Names of fields have no case and no order; the date is that of the moment. */
function answersIn(text: string): Told[] {
  const answers: Told[] = []
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\r\n\r\n', at)
    const [line = '', ...lines] = text.slice(at, end).split('\r\n')
    const fields = lines
      .map((field) => field.replace(/^[^:]*/, (name) => name.toLowerCase()))
      .filter((field) => !field.startsWith('date:'))
      .sort()
    const length = Number(fields.find((field) => /^content-length:/.test(field))?.slice(15) ?? 0)
    at = end + 4 + length
    answers.push({ line, fields, body: text.slice(end + 4, at) })
  }
  return answers
}

const statuses = (text: string): number[] =>
  answersIn(text).map(({ line }) => Number(line.split(' ')[1]))

describe('The lane', () => {
  const BODY = json('a')
  const own = (fields: string, body = BODY): string =>
    `POST /v2/models/tiny/infer HTTP/1.1\r\n${fields}\r\n${body}`
  const length = `Content-Length: ${BODY.length}\r\n`
  const smuggled = post(json('hidden'))

  it.each<[string, string]>([
    ['a request', post(BODY)],
    ['a version', post(BODY, '', '/v2/models/tiny/versions/1/infer')],
    ['a version that is none', post(BODY, '', '/v2/models/tiny/versions/9/infer')],
    ['a model that is none', post(BODY, '', '/v2/models/other/infer')],
    ['binary tensors', binary('b')],
    ['requests behind each other', post(json('a')) + binary('b') + post(json('c'), '', '/x')],
    [
      'a forced arm and a priority',
      post(BODY, 'Linnet-Arm: baseline\r\nlinnet-priority: high\r\n'),
    ],
    ['no such arm', post(BODY, 'Linnet-Arm: third\r\n')],
    ['no such priority', post(BODY, 'Linnet-Priority: low\r\n')],
    ['what is no JSON', post('{')],
    ['no body', post('')],
    ['a header length beyond the body', post('{}', 'Inference-Header-Content-Length: 9\r\n')],
    ['a header length that is no number', post('{}', 'Inference-Header-Content-Length: x\r\n')],
    ['two of them', post(BODY, 'Inference-Header-Content-Length: 1\r\n'.repeat(2))],
    ['a request as the body of another', post(smuggled)],
    ['less length than body', own('Host: localhost\r\nContent-Length: 2\r\n', `{}${smuggled}`)],
    ['the length twice', post(BODY, length)],
    ['two lengths', post(BODY, 'Content-Length: 3\r\n')],
    ['a list of lengths', own(`Host: localhost\r\nContent-Length: ${BODY.length}, 3\r\n`)],
    ['a signed length', own(`Host: localhost\r\nContent-Length: +${BODY.length}\r\n`)],
    ['a negative length', own('Host: localhost\r\nContent-Length: -1\r\n')],
    ['a hexadecimal length', own('Host: localhost\r\nContent-Length: 0x10\r\n')],
    [
      'a length with zeros before it',
      own(`Host: localhost\r\nContent-Length: 00${BODY.length}\r\n`),
    ],
    [
      'a length with spaces around',
      own(`Host: localhost\r\nContent-Length:   ${BODY.length}  \r\n`),
    ],
    ['an endless length', own(`Host: localhost\r\nContent-Length: ${'9'.repeat(30)}\r\n`)],
    ['no length', own('Host: localhost\r\n', '')],
    ['length and chunks', post(`2\r\n{}\r\n0\r\n\r\n`, 'Transfer-Encoding: chunked\r\n')],
    ['chunks', own('Host: localhost\r\nTransfer-Encoding: chunked\r\n', '2\r\n{}\r\n0\r\n\r\n')],
    ['chunks under a hidden name', post(BODY, 'Transfer-Encoding : chunked\r\n')],
    ['chunks in a folded field', post(BODY, 'X-A: b\r\n Transfer-Encoding: chunked\r\n')],
    ['chunks behind a bare line feed', post(BODY, 'X-A: b\nTransfer-Encoding: chunked\r\n')],
    ['chunks behind a bare carriage return', post(BODY, 'X-A: b\rTransfer-Encoding: chunked\r\n')],
    ['bare line feeds', post(BODY).replaceAll('\r\n', '\n')],
    ['a line break before it', `\r\n${post(BODY)}`],
    ['a line break behind it', `${post(BODY)}\r\n`],
    ['no host', own(length)],
    ['two hosts', post(BODY, 'Host: localhost\r\n')],
    ['an empty host', own(`Host:\r\n${length}`)],
    ['a foreign host', own(`Host: evil.example\r\n${length}`)],
    ['a foreign origin', post(BODY, 'Origin: https://evil.example\r\n')],
    ['two origins', post(BODY, 'Origin: http://localhost\r\nOrigin: https://evil.example\r\n')],
    ['a body that is too large', post('x'.repeat(5_000))],
    ['an absolute target', post(BODY, '', 'http://localhost/v2/models/tiny/infer')],
    ['a query', post(BODY, '', '/v2/models/tiny/infer?x')],
    ['a target that needs decoding', post(BODY, '', '/v2/models/t%69ny/infer')],
    ['a target of two spaces', post(BODY, '', ' /v2/models/tiny/infer')],
    ['dots in a target', post(BODY, '', '/v2/models/../models/tiny/infer')],
    ['an older HTTP', post(BODY).replace('HTTP/1.1', 'HTTP/1.0')],
    ['another HTTP', post(BODY).replace('HTTP/1.1', 'HTTP/2.0')],
    ['another method', post(BODY).replace('POST', 'PUT')],
    ['a small method', post(BODY).replace('POST', 'post')],
    ['the wish to close', post(BODY, 'Connection: close\r\n')],
    ['a list of wishes', post(BODY, 'Connection: keep-alive, close\r\n')],
    ['the wish to close, to a proxy', post(BODY, 'Proxy-Connection: close\r\n')],
    ['an upgrade', post(BODY, 'Upgrade: h2c\r\n')],
    ['an expectation', post(BODY, 'Expect: 100-continue\r\n')],
    ['another encoding', post(BODY, 'Content-Encoding: br\r\n')],
    ['a compressed answer', post(BODY, 'Accept-Encoding: gzip\r\n')],
    ['what browsers accept', post(BODY, 'Accept-Encoding: gzip, deflate, br\r\n')],
    ['a field without a name', post(BODY, ': x\r\n')],
    ['a field without a colon', post(BODY, 'nothing\r\n')],
    ['a field with NUL', post(BODY, 'X-A: a\0b\r\n')],
    ['a field with bytes above ASCII', post(BODY, 'X-A: \xe9\xa0\r\n')],
    ['a field of spaces', post(BODY, `X-A:${' '.repeat(7_000)}\r\n`)],
    ['a field of spaces and a bare line feed', post(BODY, `X-A:${' '.repeat(7_000)}\n\r\n`)],
    ['a long head', post(BODY, `X-A: ${'a'.repeat(9_000)}\r\n`)],
    ['a head that is too long', post(BODY, `X-A: ${'a'.repeat(20_000)}\r\n`)],
    ['many fields', post(BODY, 'X-A: a\r\n'.repeat(100))],
  ])('answers %s as Node does', async (_, bytes) => {
    const [found, expected] = await Promise.all([
      talk(withLane, bytes + LAST),
      talk(without, bytes + LAST),
    ])
    expect(answersIn(found)).toEqual(answersIn(expected))
    expect(expected).not.toBe('')
  })

  it('gives the same answers however the bytes are cut into pieces', async () => {
    const bytes = [post(json('a')), binary('b'), post('{'), post(json('c')), LAST].join('')
    const expected = answersIn(await talk(without, bytes))
    expect(expected).toHaveLength(5)
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(cuts, async (found) => {
        const at = [0, ...found.sort((a, b) => a - b), bytes.length]
        const pieces = at.slice(1).map((end, i) => bytes.slice(at[i], end))
        expect(answersIn(await talk(withLane, ...pieces))).toEqual(expected)
      }),
      { numRuns: 40 },
    )
  })

  it('is what usual clients get: of their requests none reaches the server behind it', async () => {
    const url = `http://127.0.0.1:${withLane.port}/v2/models/tiny/infer`
    expect((await fetch(url, { method: 'POST', body: json('a') })).status).toBe(200)
    const sent = httpRequest(url, { method: 'POST' })
    sent.end(json('b'))
    const [answer] = await once(sent, 'response')
    answer.resume()
    expect([answer.statusCode, leftOver]).toEqual([200, 0])
  })

  it('hands a connection over for good at the first request that is not for it', async () => {
    const other = post(json('b'), '', '/v2/models/tiny/infer?x')
    const said = await talk(withLane, post(json('a')) + other + post(json('c')) + LAST)
    expect([statuses(said), leftOver]).toEqual([[200, 200, 200, 200], 3])
  })

  it('answers who ends his side behind his request', async () => {
    const socket = open(withLane)
    let said = ''
    socket.on('data', (chunk) => {
      said += chunk
    })
    socket.end(post(json('a')) + post(json('b')))
    await once(socket, 'end')
    expect(statuses(said)).toEqual([200, 200])
  })

  it('ends a connection whose client ends it without a request, or within one', async () => {
    for (const begun of ['', post(json('a')).slice(0, -3)]) {
      const socket = open(withLane)
      socket.resume().end(begun)
      await once(socket, 'end')
      socket.destroy()
    }
    expect(plane.statistics()).toEqual([])
  })
})

describe('A connection in the lane', () => {
  /** Answers one request and stays. */
  async function answered(): Promise<{ client: Socket; server: Socket }> {
    const client = open(withLane)
    client.write(post(json('a')))
    await once(client, 'data')
    return { client, server: entered.at(-1)! }
  }

  it('may take 10 s for its first byte, be silent for 30 s, and be kept for 65 s', async () => {
    const mute = open(withLane)
    await vi.waitFor(() => expect(entered[0]?.timeout).toBe(10_000))
    entered[0]?.emit('timeout')
    expect(entered[0]?.destroyed).toBe(true)
    mute.destroy()
    const { client, server } = await answered()
    expect(server.timeout).toBe(30_000)
    server.emit('timeout')
    expect([server.destroyed, server.timeout]).toEqual([false, 35_000])
    client.write(post(json('b')))
    await once(client, 'data')
    expect(server.timeout).toBe(30_000)
    server.emit('timeout')
    server.emit('timeout')
    expect(server.destroyed).toBe(true)
  })

  it('is cut when it is silent within a body, or takes a minute for one', async () => {
    const part = post(json('b')).slice(0, -3)
    const silent = await answered()
    silent.client.write(part)
    await vi.waitFor(() =>
      expect(silent.server.bytesRead).toBe(post(json('a')).length + part.length),
    )
    silent.server.emit('timeout')
    expect(silent.server.destroyed).toBe(true)
    const slow = await answered()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    slow.client.write(part)
    while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve))
    vi.advanceTimersByTime(60_000)
    expect(slow.server.destroyed).toBe(true)
  })

  it('ends with its server: at once when idle, behind its answer when busy', async () => {
    let finish = (): void => undefined
    const slow = new Promise<never>((_, reject) => {
      finish = () => reject(new Error('the end'))
    })
    const idle = await answered()
    let runs = 0
    plane.put(
      buildLive(() => {
        runs += 1
        return slow
      }),
    )
    const busy = talk(withLane, post(json('b')))
    await vi.waitFor(() => expect(runs).toBe(1))
    const closed = withLane.close()
    await once(idle.client, 'end')
    idle.client.destroy()
    finish()
    const [answer] = answersIn(await busy)
    expect(answer?.line).toBe('HTTP/1.1 500 Internal Server Error')
    expect(answer?.fields).toContain('connection: close')
    await closed
  })
})
