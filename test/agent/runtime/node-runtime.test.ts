/** The real runtime: child processes, real ONNX Runtime, real sockets on loopback. */
import { execFileSync } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { ResolvedRelease, RuntimeEvent, ServedModel } from '../../../agent/ports.ts'
import type { Drawing } from '../../../agent/runtime/host/host-protocol.ts'
import {
  createNodeRuntime,
  type NodeRuntime,
  type RuntimeLimits,
} from '../../../agent/runtime/node-runtime.ts'
import { requestContract } from '../../contract/request.contract.ts'
import { runtimeContract } from '../../contract/runtime.contract.ts'
import { createBenchReleases } from './bench-releases.ts'
import { PROFILE, served, softmax } from './release-builder.ts'

type Releases = ReturnType<typeof createBenchReleases>

async function createBench(limits: Partial<RuntimeLimits> = {}) {
  const releases = createBenchReleases()
  const { folder, dispose } = releases
  const drawings: Drawing[] = []
  const runtime = createNodeRuntime({
    device: 'device-1',
    boot: 'boot-1',
    profile: PROFILE,
    directory: join(folder, 'runtime'),
    artifactPath: (sha256) => join(folder, sha256),
    listen: { host: '127.0.0.1', port: 0 },
    socketPath: null,
    onDrawing: (drawing) => void drawings.push(drawing),
    limits: { flushMs: 50, ...limits },
  })
  const address = await runtime.address()
  if (!address.ok) throw new Error(address.error.message)
  const url = `http://127.0.0.1:${address.value.port}/v2/models/tiny/infer`
  return {
    ...releases,
    drawings,
    runtime,
    url,
    dispose: async () => {
      await runtime.close()
      dispose()
    },
  }
}

const bodyOf = (x0: number, id?: string) =>
  JSON.stringify({ id, inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [x0, 0] }] })

/** As a local client does: again when the host is just being replaced. */
async function ask(url: string, x0: number, id?: string): Promise<number[]> {
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const answer = await fetch(url, { method: 'POST', body: bodyOf(x0, id) }).catch(() => undefined)
    if (answer?.ok) {
      const { outputs } = (await answer.json()) as { outputs: { data: number[] }[] }
      return outputs[0]?.data ?? []
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('no answer in 50 s')
}

/** The host is the only child of this process that runs `host-main`. */
function hostPid(): number {
  const children = execFileSync('pgrep', ['-P', String(process.pid), '-f', 'host-main'])
  return Number(String(children).trim().split('\n').at(-1))
}

const plan = (generation: number, model: ServedModel, windowMs = 1_000) => ({
  generation,
  windowMs,
  models: [model],
})
const slots = (releases: Releases, more: Partial<ServedModel> = {}): ServedModel => ({
  model: 'tiny',
  current: served(releases.folder, releases.good),
  candidate: null,
  previous: null,
  trafficShare: 0,
  shadow: 0,
  rollout: null,
  ...more,
})

async function createContractBench() {
  const bench = await createBench()
  return {
    ...bench,
    ask: async (body: string) => {
      const answer = await fetch(bench.url, { method: 'POST', body })
      return { status: answer.status, text: await answer.text() }
    },
    served: (release: ResolvedRelease) => served(bench.folder, release),
    settle: <T>(promise: Promise<T>) => promise,
    traffic: async () => {
      for (let i = 0; i < 30; i++) await ask(bench.url, i / 10)
      await new Promise((resolve) => setTimeout(resolve, 200))
    },
    killHost: async () => {
      process.kill(hostPid(), 'SIGKILL')
      await new Promise((resolve) => setTimeout(resolve, 100))
    },
    pass: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
  }
}

runtimeContract('The Node runtime', createContractBench)
requestContract('The Node runtime', createContractBench)

describe('The model host', { timeout: 120_000 }, () => {
  let bench: Awaited<ReturnType<typeof createBench>>
  afterEach(() => bench.dispose())
  const collect = (runtime: NodeRuntime): RuntimeEvent[] => {
    const events: RuntimeEvent[] = []
    runtime.onEvent((event) => void events.push(event))
    return events
  }

  it('loses no request and answers none twice over 40 swaps under load', async () => {
    bench = await createBench()
    const { runtime, good, better, folder, url } = bench
    await runtime.serve(plan(0, slots(bench)))
    let isSwapping = true
    let sent = 0
    let answered = 0
    const client = async () => {
      while (isSwapping) {
        sent += 1
        const [, high] = await (await fetch(url, { method: 'POST', body: bodyOf(1) }))
          .json()
          .then(({ outputs }) => outputs[0].data as number[])
        const expected = [softmax(1)[1], softmax(1, 0.1)[1]]
        expect(expected.some((value) => Math.abs(value - (high ?? 0)) < 1e-5)).toBe(true)
        answered += 1
      }
    }
    const clients = [client(), client(), client()]
    const events = collect(runtime)
    for (let i = 1; i <= 40; i++) {
      const [current, previous] = i % 2 === 0 ? [good, better] : [better, good]
      const model = slots(bench, {
        current: served(folder, current),
        previous: i % 3 === 0 ? served(folder, previous) : null,
      })
      expect(await runtime.serve(plan(i, model))).toEqual({ served: true })
    }
    isSwapping = false
    await Promise.all(clients)
    await runtime.close()
    expect(answered).toBe(sent)
    const counted = events.flatMap((event) =>
      event.kind === 'interval' ? event.interval.arms.map(({ window }) => window.n) : [],
    )
    expect(counted.reduce((sum, n) => sum + n, 0)).toBe(sent)
  })

  it('counts what it answered since its last interval, also when somebody never lets go', async () => {
    bench = await createBench({ flushMs: 3_600_000 })
    const { runtime, url } = bench
    await runtime.serve(plan(1, slots(bench)))
    const events = collect(runtime)
    const half = connect(Number(new URL(url).port), '127.0.0.1')
    half.on('error', () => undefined)
    half.write(
      'POST /v2/models/tiny/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{',
    )
    for (let i = 0; i < 6; i++) await ask(url, i)
    await runtime.close()
    const counted = events.flatMap((event) =>
      event.kind === 'interval' ? event.interval.arms.map(({ window }) => window.n) : [],
    )
    expect(counted).toEqual([6])
  })

  it('joins labels to predictions, each once', async () => {
    bench = await createBench()
    const { runtime, url } = bench
    await runtime.serve(plan(1, slots(bench)))
    await ask(url, 1, 'request-1')
    await ask(url, -1, 'request-2')
    const label = (id: string, value: string) =>
      fetch(url.replace('infer', 'feedback'), {
        method: 'POST',
        body: JSON.stringify({ id, label: value }),
      })
    expect(await (await label('request-1', 'high')).json()).toEqual({ correct: true })
    expect(await (await label('request-2', 'high')).json()).toEqual({ correct: false })
    expect((await label('request-2', 'low')).status).toBe(404)
    expect((await label('request-1', 'medium')).status).toBe(400)
    const events = collect(runtime)
    await runtime.close()
    const [interval] = events.flatMap((event) =>
      event.kind === 'interval' ? [event.interval] : [],
    )
    expect(interval?.arms[0]?.window.labels).toEqual({
      labelled: 2,
      correct: 1,
      confusion: [0, 0, 1, 1],
    })
  })

  it('kills a host that stands still and serves on with a new one', async () => {
    bench = await createBench({ hangMs: 4_000 })
    const { runtime, url } = bench
    await runtime.serve(plan(1, slots(bench)))
    const events = collect(runtime)
    process.kill(hostPid(), 'SIGSTOP')
    expect((await ask(url, 1))[1]).toBeCloseTo(softmax(1)[1], 5)
    expect(events[0]).toMatchObject({ kind: 'hostRestarted', problem: { code: 'host.hung' } })
  })

  it('takes a candidate out whose outputs are not numbers, and leaves current alone', async () => {
    bench = await createBench()
    const { runtime, folder, better, url } = bench
    const nan = bench.notANumber
    await runtime.serve(
      plan(1, slots(bench, { candidate: served(folder, nan), trafficShare: 500_000 })),
    )
    // Told before the plan counts as served: whoever has the log can draw the arms again.
    expect(bench.drawings).toEqual([
      {
        ...{ model: 'tiny', generation: 1, candidate: nan.release.version },
        ...{ seed: 'device-1/boot-1/1/1/tiny', trafficShare: 500_000, shadow: 0 },
      },
    ])
    const events = collect(runtime)
    for (let i = 0; i < 200; i++) {
      await fetch(url, { method: 'POST', body: bodyOf(1) }).then((answer) => answer.text())
    }
    const broke = events.filter(({ kind }) => kind === 'releaseBroke')
    expect(broke).toMatchObject([
      { sha256: nan.release.sha256, problem: { code: 'guard.error_rate' } },
    ])
    expect(better.release.sha256).not.toBe(nan.release.sha256)
    expect((await ask(url, 1))[1]).toBeCloseTo(softmax(1)[1], 5)
  })
})
