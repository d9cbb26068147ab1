/** The front of real model hosts: what it passes on, what it stops, and how it survives. */
import { afterEach, describe, expect, it } from 'vitest'
import {
  type Client,
  createClient,
  createSharedHosts,
  inferBody,
  plan,
  type SharedHosts,
  waitFor,
} from './shared-hosts.ts'

describe('The front of several model hosts', { timeout: 120_000 }, () => {
  let bench: SharedHosts
  let client: Client
  afterEach(async () => {
    client.close()
    await bench.dispose()
  })
  async function start(...args: Parameters<typeof createSharedHosts>) {
    bench = await createSharedHosts(...args)
    client = createClient(bench.port, 256)
    expect(await bench.runtime.serve(plan(1, [bench.model()]))).toEqual({ served: true })
  }

  it('passes large binary requests on as they come, and stops one that is too large', async () => {
    await start({ limits: { requestBytesMax: 3 * 1024 * 1024 } })
    const rows = 200_000
    const head = JSON.stringify({
      inputs: [
        {
          ...{ name: 'x', datatype: 'FP32', shape: [rows, 2] },
          parameters: { binary_data_size: rows * 8 },
        },
      ],
      parameters: { binary_data_output: true },
    })
    const send = (bytes: number, chunked: boolean): Promise<Response> =>
      fetch(`${bench.url}/v2/models/tiny/infer`, {
        method: 'POST',
        headers: { 'inference-header-content-length': `${head.length}` },
        body: chunked
          ? new ReadableStream({
              start(stream) {
                stream.enqueue(Buffer.from(head))
                for (let at = 0; at < bytes; at += 65_536) {
                  stream.enqueue(new Uint8Array(Math.min(65_536, bytes - at)))
                }
                stream.close()
              },
            })
          : Buffer.concat([Buffer.from(head), new Uint8Array(bytes)]),
        duplex: 'half',
      } as RequestInit)
    for (const chunked of [false, true]) {
      const answer = await send(rows * 8, chunked)
      expect(answer.status).toBe(200)
      const bytes = new Uint8Array(await answer.arrayBuffer())
      expect(bytes.length).toBeGreaterThan(rows * 8)
    }
    for (const chunked of [false, true]) {
      // A client that goes on sending may find the connection closed before it reads why.
      const refused = await send(4 * 1024 * 1024, chunked).catch(() => undefined)
      expect([413, undefined]).toContain(refused?.status)
    }
    expect((await client.infer(1)).status).toBe(200)
  })

  it('takes the request of a client that left along, and refuses foreign pages', async () => {
    await start({ sharing: { policy: 'least-connections' } })
    process.kill(bench.pid(0)!, 'SIGSTOP')
    process.kill(bench.pid(1)!, 'SIGSTOP')
    const outstanding = async (): Promise<number> => {
      const { text } = await client.ask('GET', '/metrics')
      return [...text.matchAll(/^linnet_host_outstanding\{.*\} (\d+)$/gm)].reduce(
        (sum, m) => sum + Number(m[1]),
        0,
      )
    }
    const leaving = new AbortController()
    const asked = Array.from({ length: 4 }, () =>
      client.ask('POST', '/v2/models/tiny/infer', inferBody(1), leaving.signal).catch(() => 'left'),
    )
    await waitFor('all four on their way', async () => (await outstanding()) === 4)
    leaving.abort()
    expect(await Promise.all(asked)).toEqual(['left', 'left', 'left', 'left'])
    await waitFor('none on its way', async () => (await outstanding()) === 0)
    process.kill(bench.pid(0)!, 'SIGCONT')
    process.kill(bench.pid(1)!, 'SIGCONT')
    const foreign = await fetch(`${bench.url}/v2`, { headers: { origin: 'https://evil.example' } })
    expect(foreign.status).toBe(403)
  })

  it('comes back at the same address after its death and after a standstill', async () => {
    await start()
    for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
      const pid = bench.pid('front')!
      process.kill(pid, signal)
      await waitFor(`a new front after ${signal}`, () => {
        const next = bench.pid('front')
        return next !== undefined && next !== pid
      })
      await waitFor('an answer', async () => {
        const reply = await client.infer(1).catch(() => undefined)
        return reply?.status === 200
      })
    }
    const codes = bench.events.flatMap((event) =>
      event.kind === 'hostRestarted' ? [event.problem.code] : [],
    )
    expect(codes).toEqual(['front.ended', 'front.hung'])
  })
})
