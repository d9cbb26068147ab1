/** Several real model hosts behind a front: slow ones, dead ones, swaps, sums, sessions. */
import { afterEach, describe, expect, it } from 'vitest'
import { BALANCE_POLICIES } from '../../../shared/balance/balancer.ts'
import { served, softmax } from '../runtime/release-builder.ts'
import {
  type Client,
  createClient,
  createSharedHosts,
  inferBody,
  plan,
  type Reply,
  type SharedHosts,
  sleep,
  waitFor,
} from './shared-hosts.ts'

function counter(n: number): () => boolean {
  let left = n
  return () => left-- <= 0
}

describe('Several model hosts', { timeout: 120_000 }, () => {
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
  const hostShares = async (): Promise<number[]> => {
    const { text } = await client.ask('GET', '/metrics')
    return [...text.matchAll(/^linnet_host_requests\{host="\d+"\} (\d+)$/gm)].map((m) => +m[1]!)
  }

  /** Closed loop: `workers` clients ask until the time is over; each answer must fit its request. */
  async function drive(workers: number, isOver: () => boolean) {
    const replies: Reply[] = []
    const tookMs: number[] = []
    let sent = 0
    const worker = async (w: number): Promise<void> => {
      while (!isOver()) {
        sent += 1
        const x0 = (sent % 20) / 10 + w / 1_000
        const startMs = performance.now()
        const reply = await client.infer(x0, { id: `r${sent}` })
        tookMs.push(performance.now() - startMs)
        replies.push(reply)
        if (reply.status !== 200) continue
        const { outputs } = JSON.parse(reply.text)
        expect(outputs[0].data[1]).toBeCloseTo(softmax(x0)[1], 5)
      }
    }
    await Promise.all(Array.from({ length: workers }, (_, w) => worker(w)))
    tookMs.sort((a, b) => a - b)
    const p99Ms = tookMs[Math.floor(tookMs.length * 0.99)] ?? 0
    return { sent, replies, p99Ms, ok: replies.filter(({ status }) => status === 200).length }
  }

  it.each(BALANCE_POLICIES)('answer every request once, and count as many: %s', async (policy) => {
    await start({ sharing: { policy, weights: [3, 1] } })
    let left = 200
    const { sent, ok, p99Ms } = await drive(8, () => left-- <= 0)
    expect(ok).toBe(sent)
    const shares = await hostShares()
    expect(shares.reduce((sum, n) => sum + n)).toBe(sent)
    expect(Math.min(...shares)).toBeGreaterThan(0)
    // A host that this machine leaves without a processor for a moment is passed over.
    if (policy === 'round-robin') expect(Math.abs(shares[0]! - shares[1]!)).toBeLessThan(20)
    if (policy === 'weighted') expect(Math.abs(shares[0]! - 3 * shares[1]!)).toBeLessThan(60)
    await bench.runtime.close()
    expect(bench.counted()).toEqual({ n: sent, crashed: 0 })
    process.stdout.write(`${policy}: ${shares.join(' + ')} requests, p99 ${p99Ms.toFixed(1)} ms\n`)
  })

  it.each(BALANCE_POLICIES)('lose nothing while one stands still: %s', async (policy) => {
    await start({ sharing: { policy }, limits: { hangMs: 60_000, deadlineMsMax: 60_000 } })
    const slow = bench.pid(0)!
    const asked: Promise<Reply>[] = []
    const tookMs: number[] = []
    /** Requests arrive whether or not the former ones were answered. */
    const arrive = async (n: number): Promise<void> => {
      for (let i = 0; i < n; i++) {
        const startMs = performance.now()
        const answer = client.infer(1)
        void answer.then(() => tookMs.push(performance.now() - startMs)).catch(() => undefined)
        asked.push(answer)
        await sleep(10)
      }
    }
    try {
      await arrive(20)
      process.kill(slow, 'SIGSTOP')
      // It is found out, the later the busier this machine is: the other one answers all that comes.
      let before = -1
      for (let round = 0; round < 100; round++) {
        const [now] = await hostShares()
        if (now === before) break
        before = now!
        await arrive(20)
      }
      const answered = tookMs.length
      await arrive(20)
      // Where it was hardly asked before, it may be found out only by these.
      expect((await hostShares())[0]).toBeLessThanOrEqual(before + 2)
      await waitFor('answers of the other', () => tookMs.length >= answered + 18)
    } finally {
      process.kill(slow, 'SIGCONT')
    }
    await arrive(40)
    const replies = await Promise.all(asked)
    expect(replies.filter(({ status }) => status !== 200)).toEqual([])
    const shares = await hostShares()
    await bench.runtime.close()
    expect(bench.counted()).toEqual({ n: asked.length, crashed: 0 })
    tookMs.sort((a, b) => a - b)
    const p99 = tookMs[Math.floor(tookMs.length * 0.99)]!.toFixed(1)
    process.stdout.write(`${policy}, one stopped: ${shares.join(' + ')} requests, p99 ${p99} ms\n`)
  })

  it.each(BALANCE_POLICIES)('go on when one is killed again and again: %s', async (policy) => {
    await start({ sharing: { policy } })
    let isOver = false
    const driven = drive(6, () => isOver)
    const restarts = () => bench.events.filter(({ kind }) => kind === 'hostRestarted').length
    let kills = 0
    while (kills < 2) {
      await waitFor('host 1 serves', () => bench.pid(1) !== undefined)
      await sleep(200)
      process.kill(bench.pid(1)!, 'SIGKILL')
      kills += 1
      await waitFor('its end is told', () => restarts() === kills)
    }
    isOver = true
    const { sent, replies, ok, p99Ms } = await driven
    // Each request got one answer: the right one, or at once that its host is lost.
    expect(replies.length).toBe(sent)
    const failed = replies.filter(({ status }) => status !== 200)
    expect(new Set(failed.map(({ status }) => status)).size).toBeLessThanOrEqual(1)
    for (const { status, headers } of failed) {
      expect(status).toBe(503)
      expect(headers['retry-after']).toBe('1')
      expect(headers['linnet-code']).toBe('infer.host_lost')
    }
    expect(failed.length).toBeLessThanOrEqual(6 * kills)
    expect(ok).toBeGreaterThan(failed.length)
    await bench.runtime.close()
    expect(restarts()).toBe(kills)
    const { n } = bench.counted()
    // Nothing was counted twice; a dead host takes at most its last 50 ms of counts along.
    expect(n).toBeLessThanOrEqual(sent)
    const words = `${ok} of ${sent} answered, ${failed.length} told at once, ${n} counted`
    process.stdout.write(`${policy}, killed ${kills} times: ${words}, p99 ${p99Ms.toFixed(1)} ms\n`)
  })

  it('swap releases under load without losing a request, as one device', async () => {
    await start({ sharing: { policy: 'least-connections' } })
    let isOver = false
    let sent = 0
    let ok = 0
    const worker = async (): Promise<void> => {
      while (!isOver) {
        sent += 1
        const reply = await client.infer(1)
        const high = JSON.parse(reply.text).outputs?.[0].data[1] as number
        const fits = [softmax(1)[1], softmax(1, 0.1)[1]].some((v) => Math.abs(v - high) < 1e-5)
        if (reply.status === 200 && fits) ok += 1
      }
    }
    const workers = [worker(), worker(), worker(), worker()]
    for (let i = 2; i <= 12; i++) {
      const current = served(bench.folder, i % 2 === 0 ? bench.better : bench.good)
      const candidate = i % 3 === 0 ? served(bench.folder, bench.good) : null
      const model = bench.model({ current, candidate, trafficShare: 300_000 })
      expect(await bench.runtime.serve(plan(i, [model]))).toEqual({ served: true })
    }
    isOver = true
    await Promise.all(workers)
    await bench.runtime.close()
    expect(ok).toBe(sent)
    expect(bench.counted()).toEqual({ n: sent, crashed: 0 })
  })

  it('serve a plan only when each of them does, and say what none could load', async () => {
    await start()
    const model = bench.model({ candidate: served(bench.folder, bench.unloadable) })
    const outcome = await bench.runtime.serve(plan(2, [model]))
    expect(outcome).toMatchObject({ served: false, broken: [{ problem: {} }] })
    expect(outcome.served ? [] : outcome.broken.map(({ sha256 }) => sha256)).toEqual([
      bench.unloadable.release.sha256,
    ])
    const second = { ...bench.model(), model: 'second' }
    await bench.runtime.serve(plan(3, [bench.model(), second]))
    // Right after, whichever host is asked has it.
    for (let i = 0; i < 8; i++) {
      const reply = await client.ask('POST', '/v2/models/second/infer', inferBody(1))
      expect(reply.status).toBe(200)
    }
  })

  it('leave, all of them, what the guard of one stopped, though no new plan comes', async () => {
    await start({ sharing: { policy: 'weighted', weights: [9, 1] } })
    const { folder, good, notANumber } = bench
    const slots = { current: served(folder, notANumber), previous: served(folder, good) }
    expect(await bench.runtime.serve(plan(2, [bench.model(slots)]))).toEqual({ served: true })
    const broke = () => bench.events.filter(({ kind }) => kind === 'releaseBroke')
    for (let i = 0; i < 200 && broke().length === 0; i++) await client.infer(1)
    expect(broke()).toMatchObject([{ problem: { code: 'guard.error_rate' } }])
    const named = () => client.ask('POST', '/v2/models/tiny/versions/1.5.0/infer', inferBody(1))
    await waitFor('both hosts to have left it', async () => {
      const replies = await Promise.all(Array.from({ length: 20 }, named))
      return replies.every(({ status }) => status === 404)
    })
    const { replies } = await drive(1, counter(20))
    expect(replies.map(({ text }) => JSON.parse(text).model_version)).toEqual(
      replies.map(() => '1.0.0'),
    )
    expect(broke()).toHaveLength(1)
  })

  it('answer what concerns all of them together', async () => {
    await start()
    for (let i = 0; i < 10; i++) await client.infer(i, { id: `label-${i}` })
    expect((await client.ask('GET', '/v2/health/live')).status).toBe(200)
    expect((await client.ask('GET', '/v2/health/ready')).status).toBe(200)
    expect((await client.ask('GET', '/v2/models/tiny/ready')).status).toBe(200)
    expect((await client.ask('GET', '/v2/models/absent/ready')).status).toBe(503)
    const metadata = await client.ask('GET', '/v2/models/tiny')
    expect(JSON.parse(metadata.text)).toMatchObject({ name: 'tiny', versions: ['1.0.0'] })
    const index = await client.ask('POST', '/v2/repository/index', '{}')
    expect(JSON.parse(index.text)).toMatchObject([{ name: 'tiny', version: '1.0.0' }])
    for (const path of ['/v2/models/stats', '/v2/models/tiny/stats']) {
      const { text } = await client.ask('GET', path)
      const { model_stats } = JSON.parse(text)
      expect(model_stats).toMatchObject([{ inference_stats: { success: { count: 10 } } }])
    }
    expect((await client.ask('GET', '/v2/models/absent/stats')).status).toBe(404)
    const { text } = await client.ask('GET', '/metrics')
    expect(text).toContain('nv_inference_request_success{model="tiny",version="1.0.0"} 10')
    expect(text.match(/^# TYPE nv_inference_request_success /gm)?.length).toBe(1)
    expect(text).toContain('linnet_hosts 2')
  })

  it('join each label to the host that made the prediction, once', async () => {
    await start()
    for (let i = 0; i < 6; i++) await client.infer(1, { id: `label-${i}` })
    const label = (id: string): Promise<Reply> =>
      client.ask('POST', '/v2/models/tiny/feedback', JSON.stringify({ id, label: 'high' }))
    for (let i = 0; i < 6; i++) expect((await label(`label-${i}`)).status).toBe(200)
    expect((await label('label-0')).headers['linnet-code']).toBe('feedback.unknown_id')
    await bench.runtime.close()
    const windows = bench.events.flatMap((event) =>
      event.kind === 'interval' ? event.interval.arms.map(({ window }) => window) : [],
    )
    expect(windows.reduce((sum, { labels }) => sum + labels.labelled, 0)).toBe(6)
  })

  it('keep a session on one host and arm, also over restarts of that host', async () => {
    await start({ sharing: { hostsMin: 3, hostsMax: 3 } })
    const model = bench.model({
      candidate: served(bench.folder, bench.better),
      trafficShare: 500_000,
      rollout: { id: 'rollout-1', wave: 1 },
    })
    await bench.runtime.serve(plan(2, [model]))
    const versionOf = async (key: string): Promise<string> => {
      const { text } = await client.infer(1, { parameters: { key } })
      return JSON.parse(text).model_version
    }
    const keys = Array.from({ length: 12 }, (_, i) => `session-${i}`)
    const before = await Promise.all(keys.map(versionOf))
    expect(new Set(before)).toEqual(new Set(['1.0.0', '1.1.0']))
    const homes = await hostShares()
    for (let i = 0; i < 5; i++) expect(await Promise.all(keys.map(versionOf))).toEqual(before)
    expect(await hostShares()).toEqual(homes.map((n) => n * 6))
    const pid = bench.pid(0)!
    process.kill(pid, 'SIGKILL')
    await waitFor('host 0 takes requests again', async () => {
      const { text } = await client.ask('GET', '/metrics')
      const next = bench.pid(0)
      return next !== undefined && next !== pid && text.includes('linnet_hosts 3')
    })
    expect(await Promise.all(keys.map(versionOf))).toEqual(before)
  })

  it('hold a limit of requests together, as one device', async () => {
    await start({ sharing: { hostsMin: 3, hostsMax: 3 } })
    const limited = served(bench.folder, bench.better)
    const { manifest } = limited.resolved
    const disclosure = { requestsPerMinuteMax: 1, requestsBurstMax: 5 }
    const resolved = { ...limited.resolved, manifest: { ...manifest, disclosure } }
    await bench.runtime.serve(plan(2, [bench.model({ current: { ...limited, resolved } })]))
    const statuses: number[] = []
    for (let i = 0; i < 20; i++) statuses.push((await client.infer(1)).status)
    expect(statuses).toEqual([...Array(5).fill(200), ...Array(15).fill(429)])
  })

  it('become more under load and fewer without, say why, and lose nothing over it', async () => {
    const pace = { coolDownMs: 500, idleMs: 1_500, meanMs: 1_000 }
    await start({ sharing: { hostsMin: 1, hostsMax: 2, pace } })
    const scaled = (): string[] =>
      bench.events.flatMap((event) => (event.kind === 'hostsScaled' ? [event.problem.code] : []))
    let isOver = false
    const driven = drive(6, () => isOver)
    await waitFor('a second host', () => scaled().includes('hosts.up'))
    await waitFor('its share', async () => (await hostShares()).length === 2)
    await waitFor('requests on it', async () => (await hostShares())[1]! > 0)
    isOver = true
    const { sent, ok } = await driven
    expect(ok).toBe(sent)
    const before = (await client.ask('GET', '/v2/models/tiny/stats')).text
    let more = 0
    while (!scaled().includes('hosts.down') && more < 2_000) {
      more += 1
      expect((await client.infer(1)).status).toBe(200)
      await sleep(50)
    }
    await waitFor('one host', () => bench.pid(1) === undefined)
    expect(scaled()).toEqual(['hosts.up', 'hosts.down'])
    // What the host that left had counted stays in the sums.
    const count = (text: string): number =>
      JSON.parse(text).model_stats[0].inference_stats.success.count
    const after = (await client.ask('GET', '/v2/models/tiny/stats')).text
    expect([count(before), count(after)]).toEqual([sent, sent + more])
    const { text } = await client.ask('GET', '/metrics')
    expect(text).toContain('linnet_hosts 1')
    expect(text).toContain('linnet_hosts_scaled{direction="down"} 1')
    await bench.runtime.close()
    expect(bench.counted()).toEqual({ n: sent + more, crashed: 0 })
    const told = bench.events.flatMap((event) =>
      event.kind === 'hostsScaled' ? [event.problem.message] : [],
    )
    expect(told[0]).toMatch(/^Model hosts: 1 to 2 hosts: utilisation \d+ % over 70 %\.$/)
  })
})
