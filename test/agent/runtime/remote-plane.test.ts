/** What an application's requests meet when its model host is slow or silent. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { AskedRequest } from '../../../agent/runtime/application-engine.ts'
import { createRemotePlane, type RemotePlane } from '../../../agent/runtime/remote-plane.ts'
import { ok } from '../../../shared/kernel/result.ts'

let server: Server
let plane: RemotePlane
afterEach(() => {
  plane.close()
  server.closeAllConnections()
  server.close()
})

type Limits = { connectionsMax: number; waitingMax: number }

async function host(
  answer: (timeoutUs: number, response: ServerResponse) => void,
  limits: Limits,
): Promise<void> {
  server = createServer((request, response) => {
    void timeoutOf(request).then((timeoutUs) => answer(timeoutUs, response))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const status = { model: 'm', version: '1.0.0', variant: 'fp32', slot: 'current' } as const
  plane = createRemotePlane({
    address: { host: '127.0.0.1', port },
    releases: () => [{ ...status, provider: 'cpu', inputs: [], outputs: [], classes: null }],
    ...{ ...limits, deadlineMsMax: 10_000 },
  })
}

async function timeoutOf(request: IncomingMessage): Promise<number> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const body = JSON.parse(Buffer.concat(chunks).toString()) as { parameters: { timeout: number } }
  return body.parameters.timeout
}

const SAID = JSON.stringify({
  ...{ model_name: 'm', model_version: '1.0.0', outputs: [] },
  parameters: { arm: 'baseline', variant: 'fp32', provider: 'cpu' },
})
const say = (response: ServerResponse): void => {
  response.end(SAID)
}

/** @returns `ok` or the code. */
async function ask(more: Partial<AskedRequest> = {}): Promise<string> {
  const arrivedAtMs = plane.nowMs()
  const answer = await plane.infer({ model: 'm', inputs: [], arrivedAtMs, ...more }, ok)
  return answer.ok ? 'ok' : answer.error.code
}

function countsOf(codes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const code of codes) counts[code] = (counts[code] ?? 0) + 1
  return counts
}

describe('An application whose model host is busy', () => {
  it('waits no longer than the deadline, and refuses at once what its line does not take', async () => {
    let came = 0
    const hear = (): void => {
      came += 1
    }
    await host(hear, { connectionsMax: 64, waitingMax: 16 })
    const codes = Array.from({ length: 300 }, () => ask({ deadlineMs: 200 }))
    expect(countsOf(await Promise.all(codes))).toEqual({
      'infer.overloaded': 220,
      'infer.deadline': 80,
    })
    expect(came).toBeLessThanOrEqual(80)
    const errors = plane.statistics()[0]?.errors
    expect([errors?.timeout, errors?.overloaded]).toEqual([80, 220])
  })

  it('gives no answer after the deadline', async () => {
    let turn = Promise.resolve()
    await host(
      (_, response) => {
        turn = turn.then(() => new Promise((resolve) => setTimeout(resolve, 20)))
        void turn.then(() => say(response))
      },
      { connectionsMax: 64, waitingMax: 16 },
    )
    const asked = Array.from({ length: 300 }, async () => {
      const arrivedAtMs = plane.nowMs()
      const code = await ask({ arrivedAtMs, deadlineMs: 1_000 })
      return { code, tookMs: plane.nowMs() - arrivedAtMs }
    })
    const answers = await Promise.all(asked)
    expect(answers.filter(({ code }) => code === 'ok').length).toBeGreaterThan(0)
    expect(answers.filter(({ code, tookMs }) => code === 'ok' && tookMs > 1_400)).toEqual([])
    // The connections that were given up are replaced.
    expect(await ask()).toBe('ok')
  })

  it('tells the host what is left of the deadline, not what it was', async () => {
    const timeouts: number[] = []
    await host(
      (timeoutUs, response) => {
        timeouts.push(timeoutUs)
        setTimeout(say, 100, response)
      },
      { connectionsMax: 1, waitingMax: 1 },
    )
    const codes = await Promise.all([ask({ deadlineMs: 5_000 }), ask({ deadlineMs: 5_000 })])
    expect(codes).toEqual(['ok', 'ok'])
    expect(timeouts[0]! - timeouts[1]!).toBeGreaterThan(50_000)
    await ask()
    expect(timeouts[2]).toBeLessThanOrEqual(10_000_000)
  })

  it('lets go of what is aborted while it waits, and never sends it', async () => {
    const held: ServerResponse[] = []
    await host((_, response) => void held.push(response), { connectionsMax: 1, waitingMax: 1 })
    const first = ask()
    const controller = new AbortController()
    const second = ask({ signal: controller.signal })
    controller.abort()
    expect(await second).toBe('infer.cancelled')
    // Its place is free again.
    const third = ask()
    await expect.poll(() => held.length).toBe(1)
    say(held[0]!)
    expect(await first).toBe('ok')
    await expect.poll(() => held.length).toBe(2)
    say(held[1]!)
    expect(await third).toBe('ok')
  })

  it('lets go of what is aborted under way', async () => {
    await host(() => undefined, { connectionsMax: 1, waitingMax: 0 })
    const controller = new AbortController()
    const asked = ask({ signal: controller.signal })
    setTimeout(() => controller.abort(), 20)
    expect(await asked).toBe('infer.cancelled')
  })
})
