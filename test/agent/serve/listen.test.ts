/**
 * How long a connection may be silent: short for all, long for who waits for a load. And how a server
 * ends whose clients keep their connections and ask without a pause.
 */
import { Agent, get, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type Listening, listen } from '../../../agent/serve/listen.ts'

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
