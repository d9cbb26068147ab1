/**
 * The browser's client, the page's requests and the worker's half over a real data plane: the whole
 * way of a request but the worker itself, whose messages are handed over in later turns.
 */
import { beforeEach, describe, expect, it } from 'vitest'
import { createInferenceClient } from '../../../agent/browser/inference-client.ts'
import { createLocalRequests, type LocalRequests } from '../../../agent/browser/local-requests.ts'
import type { ToWorker } from '../../../agent/browser/worker-protocol.ts'
import { createWorkerRequests } from '../../../agent/browser/worker-requests.ts'
import { createInferenceApi } from '../../../agent/serve/inference-api.ts'
import type { TensorValue } from '../../../shared/model/tensor-value.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

const row = (x0: number): TensorValue => ({
  ...{ name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(x0, 0) },
})
const F32 = (name: string) => ({ name, datatype: 'FP32' as const, shape: ['n', 2] })

let plane: BuiltPlane
let requests: LocalRequests
let client: ReturnType<typeof createInferenceClient>
/** What the page sent beside requests. */
let sent: ToWorker[]

beforeEach(() => {
  plane = buildPlane()
  sent = []
  const api = createInferenceApi(plane, { requestBytesMax: 65_536, loopbackOnly: false })
  const worker = createWorkerRequests(api, (message) => {
    setImmediate(() => {
      if (message.kind === 'response') requests.answered(message.id, message.response)
    })
  })
  requests = createLocalRequests((message) => {
    setImmediate(() => {
      if (message.kind === 'request') worker.take(message.id, message.request)
      if (message.kind === 'cancel') worker.cancel(message.id)
    })
    if (message.kind !== 'request') sent.push(message)
    return true
  })
  client = createInferenceClient(requests.fetch)
})

/** A release whose first run goes on until told, and which remembers what it ran. */
function slowRelease() {
  const ran: unknown[] = []
  let begun = (): void => undefined
  let goOn = (): void => undefined
  const isRunning = new Promise<void>((resolve) => {
    begun = resolve
  })
  const isDone = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const live = buildLive(() => SCORES(0.25, 0.75))
  const { run } = live.session
  const session = {
    ...live.session,
    run: async (...args: Parameters<typeof run>) => {
      ran.push(args[0][0]?.data[0])
      begun()
      await isDone
      return run(...args)
    },
  }
  plane.put({ ...live, session })
  return { ran, isRunning, goOn: () => goOn() }
}

describe('A request that the page gave up', () => {
  it('is refused at once, and is not run if it waits', async () => {
    const release = slowRelease()
    const controller = new AbortController()
    const first = client.infer('tiny', [row(1)])
    await release.isRunning
    const second = client.infer('tiny', [row(2)], { signal: controller.signal })
    const third = client.infer('tiny', [row(3)])
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    // The first still runs.
    expect(await second).toMatchObject({ ok: false, error: { code: 'infer.cancelled' } })
    release.goOn()
    expect([(await first).ok, (await third).ok]).toEqual([true, true])
    expect(release.ran).toEqual([1, 3])
    expect(sent).toEqual([{ kind: 'cancel', id: 2 }])
  })

  it('is not even sent when that was before it was made', async () => {
    const { ran } = slowRelease()
    const answer = await client.infer('tiny', [row(1)], { signal: AbortSignal.abort() })
    expect(answer).toMatchObject({ ok: false, error: { code: 'infer.cancelled' } })
    expect([sent, ran]).toEqual([[], []])
  })

  it('may have been answered before: then nothing is cancelled', async () => {
    plane.put(buildLive(() => SCORES(0, 1)))
    const controller = new AbortController()
    const { signal } = controller
    expect(await client.infer('tiny', [row(1)], { signal })).toMatchObject({ ok: true })
    controller.abort()
    expect(sent).toEqual([])
  })

  it('takes its place until the host answered, so that nobody gets more in by leaving', async () => {
    const release = slowRelease()
    const controllers = Array.from({ length: 1_024 }, () => new AbortController())
    const asked = controllers.map(({ signal }) => client.infer('tiny', [row(1)], { signal }))
    for (const controller of controllers) controller.abort()
    await Promise.all(asked)
    const further = await client.infer('tiny', [row(2)])
    expect(further).toMatchObject({ ok: false, error: { code: 'infer.overloaded' } })
    release.goOn()
    const ask = async () => (await client.infer('tiny', [row(3)])).ok
    await expect.poll(ask).toBe(true)
    expect(release.ran).not.toContain(2)
  })
})

describe('A client in the browser', () => {
  it('gets the outputs that it names, and no others', async () => {
    const other = { ...SCORES(3, 4)[0]!, name: 'other' }
    const outputs = [F32('scores'), F32('other')]
    plane.put(buildLive(() => [...SCORES(0, 1), other], { outputs }))
    const answer = await client.infer('tiny', [row(1)], { outputs: ['other'] })
    expect(answer.ok && answer.value.outputs).toEqual([
      { name: 'other', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(3, 4) },
    ])
    const unknown = await client.infer('tiny', [row(1)], { outputs: ['none'] })
    expect(unknown).toMatchObject({ ok: false, error: { code: 'infer.unknown_output' } })
  })

  it('stays on one arm with a key', async () => {
    const candidate = buildLive(() => SCORES(0, 1), { version: '1.1.0' })
    plane.put(
      buildLive(() => SCORES(1, 0)),
      { candidate, trafficShare: 500_000 },
    )
    const armOf = async (key: string) => {
      const answer = await client.infer('tiny', [row(1)], { key })
      return answer.ok ? answer.value.arm : answer.error.code
    }
    const keys = Array.from({ length: 24 }, (_, i) => `user-${i}`)
    const arms: string[] = []
    for (const key of keys) arms.push(await armOf(key))
    expect(new Set(arms)).toEqual(new Set(['baseline', 'canary']))
    for (const [i, key] of keys.entries()) expect(await armOf(key)).toBe(arms[i])
  })

  it('has a deadline, however short, and is told when it passed', async () => {
    const release = slowRelease()
    const first = client.infer('tiny', [row(1)])
    await release.isRunning
    const second = client.infer('tiny', [row(2)], { deadlineMs: 0.000_1 })
    await new Promise((resolve) => setImmediate(resolve))
    release.goOn()
    await first
    expect(await second).toMatchObject({ ok: false, error: { code: 'infer.deadline' } })
    expect(release.ran).toEqual([1])
  })

  it('is refused what nothing goes by, before anything is sent', async () => {
    const answer = await client.infer('tiny', [row(1)], { deadlineMs: Number.NaN })
    expect(answer).toMatchObject({ ok: false, error: { code: 'runtime.invalid_option' } })
  })
})
