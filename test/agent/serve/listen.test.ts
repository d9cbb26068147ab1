/**
 * How long a connection may be silent: short for all, long for who waits for a load. And how a server
 * ends whose clients keep their connections and ask without a pause.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, get, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { createInferLane } from '../../../agent/serve/infer-lane.ts'
import { createInferListener } from '../../../agent/serve/infer-listener.ts'
import { createInferenceApi } from '../../../agent/serve/inference-api.ts'
import { type Listening, listen } from '../../../agent/serve/listen.ts'
import { buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

let listening: Listening | undefined
afterEach(async () => {
  await listening?.close()
})

async function silenceAllowedMs(path: string): Promise<number | undefined> {
  let allowedMs: number | undefined
  listening = await listen(() => new Response('{}'), {
    tcp: { host: '127.0.0.1', port: 0 },
    socketPath: null,
    direct: (request) => {
      allowedMs = request.socket.timeout
      return false
    },
  })
  const socket = connect({ host: '127.0.0.1', port: listening.port ?? 0 })
  socket.write(`POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n`)
  await new Promise((resolve) => socket.once('data', resolve))
  socket.destroy()
  return allowedMs
}

describe('A silent connection', () => {
  it.each(['/v2/models/tiny/infer', '/v2/repository/index', '/v2/health/live?/load'])(
    'is cut after 30 s while %s is under way',
    async (path) => {
      expect(await silenceAllowedMs(path)).toBe(30_000)
    },
  )

  it.each(['/v2/repository/models/tiny/load', '/v2/repository/models/tiny/unload?x=1'])(
    'is kept for ten minutes while %s is under way',
    async (path) => {
      expect(await silenceAllowedMs(path)).toBe(600_000)
    },
  )
})

describe('A Unix socket', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linnet-listen-'))
  const socketPath = join(folder, 'api.sock')
  afterAll(() => rmSync(folder, { recursive: true }))
  const body = JSON.stringify({
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 0] }],
  })

  /** Each way that a request may take: from the socket itself, past it, and through the routes. */
  const WAYS = {
    lane: ['POST /v2/models/tiny/infer', `Content-Length: ${body.length}\r\n\r\n${body}`],
    listener: [
      'POST /v2/models/tiny/infer',
      `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ],
    routes: ['GET /v2', '\r\n'],
  }

  it.each(['lane', 'listener', 'routes'] as const)(
    'takes any Host and no foreign Origin, TCP neither: %s',
    async (way) => {
      const plane = buildPlane()
      plane.put(buildLive(() => SCORES(0.25, 0.75)))
      const limits = { requestBytesMax: 4_096, loopbackOnly: true }
      listening = await listen(createInferenceApi(plane, limits), {
        ...{ tcp: { host: '127.0.0.1', port: 0 }, socketPath },
        lane: createInferLane(plane, limits),
        direct: createInferListener(plane, limits),
      })
      const tcp = { host: '127.0.0.1', port: listening.port ?? 0 }
      const statusOf = async (to: typeof tcp | { path: string }, fields: string) => {
        const socket = connect({ ...to, noDelay: true })
        const [line, rest] = WAYS[way]
        socket.write(`${line} HTTP/1.1\r\n${fields}\r\n${rest}`)
        const [first] = (await once(socket, 'data')) as [Buffer]
        socket.destroy()
        return Number(first.toString().split(' ')[1])
      }
      const evil = 'Host: localhost\r\nOrigin: https://evil.example'
      for (const host of ['d', 'docker.example:80', 'localhost']) {
        expect(await statusOf({ path: socketPath }, `Host: ${host}`)).toBe(200)
      }
      expect(await statusOf(tcp, 'Host: localhost')).toBe(200)
      expect(await statusOf(tcp, 'Host: evil.example')).toBe(403)
      expect(await statusOf({ path: socketPath }, evil)).toBe(403)
      expect(await statusOf(tcp, evil)).toBe(403)
    },
  )
})

describe('A server that closes', () => {
  /** What each request is answered with is the test's to say. */
  async function serveByHand() {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const waiting: ((response: ServerResponse) => void)[] = []
    listening = await listen(() => new Response(null), {
      tcp: { host: '127.0.0.1', port: 0 },
      socketPath: null,
      direct: (_, response) => {
        waiting.shift()?.(response)
        return true
      },
    })
    const { port } = listening
    return {
      /** Resolves with the server's side of the request. */
      arrives: () => new Promise<ServerResponse>((resolve) => void waiting.push(resolve)),
      ask: () =>
        new Promise<string | undefined>((resolve, reject) => {
          get({ agent, host: '127.0.0.1', port }, (answer) => {
            answer.resume().on('end', () => resolve(answer.headers.connection))
          }).on('error', reject)
        }),
      end: () => agent.destroy(),
    }
  }

  it('answers what is under way and ends its connection, which is kept else', async () => {
    const { ask, arrives, end } = await serveByHand()
    const first = arrives()
    const kept = ask()
    ;(await first).end('while it is open')
    expect(await kept).toBe('keep-alive')
    const second = arrives()
    const last = ask()
    const underWay = await second
    const closed = listening?.close()
    underWay.end('while it closes')
    expect(await last).toBe('close')
    await closed
    await expect(ask()).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    end()
  })

  it('ends the connection of an answer that was half told, behind its last byte', async () => {
    const { ask, arrives, end } = await serveByHand()
    const arrived = arrives()
    const told = ask()
    const underWay = await arrived
    underWay.write('one half ')
    const closed = listening?.close()
    underWay.end('and the other')
    expect(await told).toBe('keep-alive')
    await closed
    end()
  })
})
