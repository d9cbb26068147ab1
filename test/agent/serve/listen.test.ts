/** How long a connection may be silent: short for all, long for who waits for a load. */
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
