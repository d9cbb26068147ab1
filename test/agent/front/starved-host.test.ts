/** Hosts that get no more memory from the system, or do not turn their loop: told, replaced, and the
 * others answer. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import type { ModelDescription } from '../../../shared/onnx/graph-writer.ts'
import { served, softmax, tinyClassifier, writeRelease } from '../runtime/release-builder.ts'
import {
  type Client,
  createClient,
  createSharedHosts,
  plan,
  type SharedHosts,
  sleep,
  waitFor,
} from './shared-hosts.ts'

/** The tiny classifier with 64 MB of weights that add nothing. */
function heavyClassifier(): ModelDescription {
  const model = tinyClassifier()
  const [matMul, add, softmaxNode] = model.graph.nodes
  const big = new Float32Array(4096 * 4096)
  return {
    ...model,
    graph: {
      ...model.graph,
      initializers: [
        ...model.graph.initializers,
        { name: 'big', datatype: 'FP32', shape: [4096, 4096], data: big },
      ],
      nodes: [
        matMul!,
        { op: 'ReduceMean', inputs: ['big'], outputs: ['mean'] },
        { ...add!, outputs: ['sum'] },
        { op: 'Add', inputs: ['sum', 'mean'], outputs: ['logits'] },
        softmaxNode!,
      ],
    },
  }
}

const PRLIMIT = '/usr/bin/prlimit'
const isLinux = process.platform === 'linux' && existsSync(PRLIMIT)

describe('A model host', { timeout: 120_000 }, () => {
  let bench: SharedHosts
  let client: Client
  afterEach(async () => {
    client.close()
    await bench.dispose()
  })
  async function start(...args: Parameters<typeof createSharedHosts>) {
    bench = await createSharedHosts(...args)
    client = createClient(bench.port, 64)
    expect(await bench.runtime.serve(plan(1, [bench.model()]))).toEqual({ served: true })
  }
  const restarts = (): string[] =>
    bench.events.flatMap((event) => (event.kind === 'hostRestarted' ? [event.problem.code] : []))

  it.skipIf(!isLinux)(
    'that the system gives no memory says so and takes nobody along (needs prlimit)',
    async () => {
      await start()
      const pid = bench.pid(0)!
      const sizeKb = Number(
        /^VmSize:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1],
      )
      execFileSync(PRLIMIT, ['--pid', `${pid}`, `--as=${(sizeKb + 16_384) * 1_024}`])
      const heavy = writeRelease(bench.folder, { version: '2.0.0', description: heavyClassifier() })
      let isOver = false
      const statuses = new Map<number, number>()
      const asking = (async () => {
        while (!isOver) {
          const { status, text } = await client.infer(1)
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
          if (status !== 200) continue
          expect(JSON.parse(text).outputs[0].data[1]).toBeCloseTo(softmax(1)[1], 5)
        }
      })()
      const model = bench.model({
        current: served(bench.folder, heavy),
        previous: served(bench.folder, bench.good),
      })
      const outcome = await bench.runtime.serve(plan(2, [model]))
      await sleep(500)
      isOver = true
      await asking
      // Either the load failed and was told, or the host died of it, was told and started again.
      const told = outcome.served ? restarts() : outcome.broken.map(({ problem }) => problem.code)
      expect(told.length).toBeGreaterThan(0)
      for (const code of told)
        expect(code).toMatch(/^(runtime\.(load_failed|no_memory)|host\.crashed)$/)
      expect([...statuses.keys()].filter((status) => status !== 200 && status !== 503)).toEqual([])
      expect(statuses.get(200)).toBeGreaterThan(0)
      expect((await client.infer(1)).status).toBe(200)
    },
  )

  it('that stands still for good is killed, its requests end with 503, and it comes back', async () => {
    await start({ limits: { hangMs: 5_000 } })
    const pid = bench.pid(0)!
    process.kill(pid, 'SIGSTOP')
    const replies = await Promise.all(Array.from({ length: 12 }, () => client.infer(1)))
    const lost = replies.filter(({ status }) => status === 503)
    expect(replies.filter(({ status }) => status === 200).length).toBe(12 - lost.length)
    expect(lost.length).toBeGreaterThan(0)
    for (const { headers } of lost) expect(headers['linnet-code']).toBe('infer.host_lost')
    // Its clients hear of its end before its parent does.
    await waitFor('the hang is told', () => restarts().includes('host.hung'))
    await waitFor('host 0 takes requests again', async () =>
      (await client.ask('GET', '/metrics')).text.includes('linnet_hosts 2'),
    )
    expect(bench.pid(0)).not.toBe(pid)
    for (let i = 0; i < 6; i++) expect((await client.infer(1)).status).toBe(200)
  })
})
