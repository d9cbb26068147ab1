/** What several hosts counted, over their deaths, with servers on Unix sockets in place of hosts. */
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { createFront, type Front } from '../../../agent/front/front-process.ts'
import type { FrontHost } from '../../../agent/front/front-protocol.ts'
import { createHostTotals } from '../../../agent/front/host-totals.ts'
import { metricsText } from '../../../agent/front/merge-metrics.ts'
import { inferBody, waitFor } from './shared-hosts.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-totals-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const stops: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

/** Tells `count` as its requests, and what it was asked. */
async function startHost(id: string, hasStatistics = true) {
  const socketPath = join(folder, `${id}-${Math.floor(performance.now() * 1e3)}.sock`)
  const state = { count: 0, asked: [] as string[], hold: undefined as Promise<void> | undefined }
  const server: Server = createServer(async (request, response) => {
    const path = request.url ?? ''
    state.asked.push(path)
    request.resume()
    if (request.method === 'POST') {
      state.count += 1
      return void response.end('{}')
    }
    const { count } = state
    await state.hold
    if (path === '/metrics') response.end(`# TYPE requests counter\nrequests ${count}\n`)
    else if (!hasStatistics) response.destroy()
    else {
      const row = { name: 'a', version: '1', inference_count: count }
      response.end(JSON.stringify({ model_stats: [row] }))
    }
  })
  await new Promise<void>((done) => server.listen(socketPath, done))
  const kill = (): void => {
    server.closeAllConnections()
    server.close()
  }
  stops.push(kill)
  const host: FrontHost = { id, life: 1, weight: 1, takes: true, ends: false, socketPath }
  return { host, state, kill }
}

function totalsOf(hosts: readonly FrontHost[], sent: () => number = () => 1) {
  const agent = new Agent({ keepAlive: true })
  stops.push(() => agent.destroy())
  const counts = () => hosts.map(({ id }) => ({ id, outstanding: 0, sent: sent() }))
  const totals = createHostTotals({ table: { hosts: () => hosts, counts }, agent })
  return {
    ...totals,
    told: () => [
      Number(/^requests (\d+)$/m.exec(metricsText(totals.metrics()))?.[1]),
      totals.statistics().reduce((sum, row) => sum + Number(row.inference_count), 0),
    ],
  }
}

describe('The totals of several hosts', () => {
  it('keep what a host had told when it is killed, in metrics and statistics alike', async () => {
    const [a, b] = [await startHost('0'), await startHost('1')]
    const totals = totalsOf([a.host, b.host])
    a.state.count = 7
    b.state.count = 5
    await totals.refresh()
    a.kill()
    b.state.count = 6
    await totals.refresh()
    expect(totals.told()).toEqual([13, 13])
  })

  it('take nothing down of a host that told only half', async () => {
    const [a, b] = [await startHost('0', false), await startHost('1')]
    const totals = totalsOf([a.host, b.host])
    a.state.count = 7
    b.state.count = 5
    await totals.refresh()
    expect(totals.told()).toEqual([5, 5])
  })

  it('wait for a host that is silent no longer than its time, however many ask', async () => {
    const [a, b] = [await startHost('0'), await startHost('1')]
    const totals = totalsOf([a.host, b.host])
    a.state.hold = new Promise(() => undefined)
    b.state.count = 1
    const first = totals.refresh()
    await waitFor('the silent host is asked', () => a.state.asked.length === 2)
    b.state.count = 2
    await Promise.all([first, totals.refresh()])
    expect(totals.told()).toEqual([2, 2])
    expect(a.state.asked).toHaveLength(2)
  })

  it('tell a question during a round what was answered since the round began', async () => {
    const { host, state } = await startHost('0')
    const totals = totalsOf([host])
    let letGo = (): void => undefined
    state.hold = new Promise((done) => {
      letGo = done
    })
    state.count = 1
    const first = totals.refresh()
    await waitFor('the first round', () => state.asked.length === 2)
    state.count = 2
    const later = [totals.refresh(), totals.refresh()]
    letGo()
    await first
    expect(totals.told()).toEqual([1, 1])
    await Promise.all(later)
    expect(totals.told()).toEqual([2, 2])
    // Both questions that came during the first round shared the second one.
    expect(state.asked).toHaveLength(4)
  })

  it('ask nobody on a timer while nothing is sent, and again after that', async () => {
    const { host, state } = await startHost('0')
    let sent = 0
    const totals = totalsOf([host], () => sent)
    for (let i = 0; i < 3; i++) await totals.refreshIfUsed()
    expect(state.asked).toHaveLength(2)
    sent = 1
    state.count = 1
    await totals.refreshIfUsed()
    expect(totals.told()).toEqual([1, 1])
  })
})

it('The front notes by itself what its hosts count, before they may be killed', async () => {
  const { host, state, kill } = await startHost('0')
  let told = 0
  const front: Front = createFront({
    front: {
      ...{ listen: { host: '127.0.0.1', port: 0 }, socketPath: null, policy: 'round-robin' },
      ...{ seed: 'totals', requestBytesMax: 1e6, deadlineMsMax: 5_000, answerMsMax: 10_000 },
    },
    onListening: () => tell([host]),
    onNews: (news) => {
      if (news.kind === 'heard') told = news.told
    },
    onTrouble: () => undefined,
  })
  function tell(hosts: readonly FrontHost[]): void {
    const scaled = { up: 0, down: 0 }
    front.send({ kind: 'hosts', told: hosts.length + 1, hosts, pinned: [], scaled })
  }
  stops.push(() => front.close())
  const address = await front.address()
  if (!address.ok) throw new Error(address.error.message)
  const url = `http://127.0.0.1:${address.value.port}`
  await waitFor('the front knows its host', () => told === 2)
  const reply = await fetch(`${url}/v2/models/a/infer`, { method: 'POST', body: inferBody(1) })
  expect(reply.status).toBe(200)
  const before = state.asked.length
  await waitFor('both questions of a round', () => state.asked.length >= before + 2)
  await waitFor('the front knows that its host is gone', () => {
    tell([])
    return told === 1
  })
  kill()
  const metrics = await (await fetch(`${url}/metrics`)).text()
  expect(metrics).toContain('requests 1\n')
  const { model_stats } = await (await fetch(`${url}/v2/models/stats`)).json()
  expect(model_stats).toMatchObject([{ inference_count: 1 }])
}, 120_000)
