import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { fetchBounded } from '../../../shared/node/http-download.ts'

let server: Server | undefined
const limits = { bytesMax: 10, deadlineMs: 5_000, bytesPerSecondMin: 1 }

async function serve(answer: RequestListener): Promise<string> {
  const started = createServer(answer)
  server = started
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(started.address() as AddressInfo).port}/file`
}

afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

describe('a bounded download', () => {
  it('gives the bytes, up to the limit and not one more', async () => {
    let body = '0123456789'
    const url = await serve((_, response) => response.end(body))
    expect(await fetchBounded(url, limits)).toEqual({
      kind: 'fetched',
      bytes: new TextEncoder().encode('0123456789'),
    })
    body = '01234567890'
    expect(await fetchBounded(url, limits)).toMatchObject({
      kind: 'failed',
      problem: { code: 'tuf.endless_data' },
    })
  })

  it('stops reading data that do not end', async () => {
    const url = await serve((_, response) => {
      const feed = (): void => {
        while (!response.destroyed && response.write('x'.repeat(1_000)));
      }
      response.on('drain', feed)
      feed()
    })
    const reply = await fetchBounded(url, { ...limits, bytesMax: 100_000 })
    expect(reply).toMatchObject({ problem: { code: 'tuf.endless_data' } })
  })

  it('gives up at the deadline when data trickle in', async () => {
    const url = await serve((_, response) => void response.write('x'))
    const reply = await fetchBounded(url, { ...limits, deadlineMs: 100 })
    expect(reply).toMatchObject({ kind: 'failed', problem: { code: 'tuf.slow_retrieval' } })
  })

  it('gives up on a byte at a time, long before the deadline', async () => {
    const url = await serve((_, response) => {
      const timer = setInterval(() => response.write('x'), 20)
      response.on('close', () => clearInterval(timer))
    })
    const slow = { bytesMax: 1e6, deadlineMs: 600_000, bytesPerSecondMin: 10_000, windowMs: 100 }
    expect(await fetchBounded(url, slow)).toMatchObject({
      kind: 'failed',
      problem: { code: 'tuf.slow_retrieval', message: expect.stringMatching(/bytes a second/) },
    })
  })

  it('waits for a server that begins fast enough, however long the whole takes', async () => {
    const url = await serve((_, response) => {
      let written = 0
      const timer = setInterval(() => {
        written += 1
        response.write('x'.repeat(100))
        if (written < 5) return
        clearInterval(timer)
        response.end()
      }, 50)
    })
    // A byte in each window of three seconds is enough.
    const patient = { bytesMax: 1e6, deadlineMs: 60_000, bytesPerSecondMin: 0.1, windowMs: 3_000 }
    expect(await fetchBounded(url, patient)).toMatchObject({ kind: 'fetched' })
  })

  it.each([
    [403, { kind: 'absent' }],
    [404, { kind: 'absent' }],
    [410, { kind: 'absent' }],
    [500, { kind: 'failed', problem: { code: 'tuf.unavailable' } }],
  ])('takes status %i for what it is', async (status, expected) => {
    const url = await serve((_, response) => response.writeHead(status).end('text'))
    expect(await fetchBounded(url, limits)).toMatchObject(expected)
  })

  it('says that nobody answers', async () => {
    const reply = await fetchBounded('http://127.0.0.1:1/', limits)
    expect(reply).toMatchObject({ kind: 'failed', problem: { code: 'tuf.unavailable' } })
  })
})
