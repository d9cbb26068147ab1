/**
 * The page of operators-main.ts: each case on ONNX Runtime Web itself (`raw`, on the page's thread),
 * and on the whole way of Linnet (`linnet`): proved in workers, served, asked as binary data and as JSON.
 */
import type { InferenceSession, TensorConstructor } from 'onnxruntime-web'
import { createInferenceClient } from '../../../agent/browser/inference-client.ts'
import type { ReadArtifact } from '../../../agent/browser/web-qualifier.ts'
import { createWebRuntime, type WebRuntime } from '../../../agent/browser/web-runtime.ts'
import type { ResolvedRelease, RuntimeEvent } from '../../../agent/ports.ts'
import { fromOrt, toOrt } from '../../../agent/runtime/model-session.ts'
import { jsonFromElements } from '../../../agent/serve/json-tensor.ts'
import { type Problem, unwrap } from '../../../shared/kernel/result.ts'
import { decodeGolden } from '../../../shared/model/golden.ts'
import { compareOutputs, goldenValue } from '../../../shared/model/golden-compare.ts'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'
import type { TensorValue } from '../../../shared/model/tensor-value.ts'

export type WebProvider = 'wasm' | 'webgpu'
export type Outcome =
  | { readonly passed: true; readonly outputs: readonly TensorValue[] }
  | { readonly passed: false; readonly why: string }

const ASK_MS_MAX = 120_000
/** Two runs of one model on one provider; random ones differ. */
const SAME = { absolute: 1e-6, relative: 1e-5, nan: 'equal' } as const

const kept = new Map<number, Outcome>()
const events: RuntimeEvent[] = []
let runtime: WebRuntime | undefined

const readArtifact: ReadArtifact = async (sha256) => {
  const response = await fetch(`/files/${sha256}`)
  if (response.ok) return { ok: true, value: new Uint8Array(await response.arrayBuffer()) }
  const problem = { code: 'artifact.missing', message: `${response.status}` }
  return { ok: false, error: problem }
}

async function fileAt(name: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetch(`/files/${name}`)).arrayBuffer())
}

async function feedsOf(i: number): Promise<readonly TensorValue[]> {
  const [vector] = unwrap(decodeGolden(await fileAt(`${i}.feeds`)))
  return (vector?.inputs ?? []).map(goldenValue)
}

interface Ort {
  readonly env: { readonly wasm: { wasmPaths?: unknown; numThreads?: number }; logLevel?: string }
  readonly InferenceSession: {
    create(bytes: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession>
  }
  readonly Tensor: TensorConstructor
}

async function onRaw(i: number, provider: WebProvider): Promise<readonly TensorValue[]> {
  const [model, feeds] = [await fileAt(`${i}.onnx`), await feedsOf(i)]
  const ort = (await (provider === 'webgpu'
    ? import('onnxruntime-web/jspi')
    : import('onnxruntime-web/wasm'))) as unknown as Ort
  ort.env.wasm.wasmPaths = new URL('./', import.meta.url).href
  ort.env.wasm.numThreads = 1
  ort.env.logLevel = 'fatal'
  const session = await ort.InferenceSession.create(model, {
    ...{ executionProviders: [provider], logSeverityLevel: 4 },
  })
  const inputs: Record<string, InferenceSession.OnnxValueMapType[string]> = Object.create(null)
  for (const feed of feeds) inputs[feed.name] = toOrt(feed, ort.Tensor)
  const fetched = await session.run(inputs)
  const outputs = Object.entries(fetched).map(([name, value]) => {
    const { shape, data, ...rest } = fromOrt(name, value)
    return { ...rest, shape: [...shape], data: data.slice() } as TensorValue
  })
  await session.release()
  return outputs
}

async function onLinnet(i: number, release: ResolvedRelease): Promise<readonly TensorValue[]> {
  if (runtime === undefined) throw new Error('no runtime')
  const feeds = await feedsOf(i)
  const qualified = await runtime.qualify(release, new AbortController().signal)
  if (!qualified.ok) throw new Error(told(qualified.error))
  const { model, sha256 } = release.release
  const served = await runtime.serve({
    generation: i + 1,
    windowMs: 60_000,
    models: [
      {
        model,
        current: { resolved: release, provider: qualified.value.chosen, modelPath: sha256 },
        ...{ candidate: null, previous: null, trafficShare: 0, shadow: 0, rollout: null },
      },
    ],
  })
  if (!served.served) throw new Error(`not served: ${JSON.stringify(served.broken)}`)
  const client = createInferenceClient(runtime.fetch)
  const answer = await client.infer(model, feeds, { deadlineMs: ASK_MS_MAX })
  if (!answer.ok) throw new Error(told(answer.error))
  const inputs = feeds.map((feed) => {
    const { name, datatype, shape } = feed
    return { name, datatype, shape, data: jsonFromElements(feed) }
  })
  const body = JSON.stringify({ inputs })
  const asText = await runtime.fetch(`/v2/models/${model}/infer`, { method: 'POST', body })
  if (!asText.ok) throw new Error(`as JSON: ${await asText.text()}`)
  return answer.value.outputs
}

const told = ({ code, found = '' }: Problem): string => `${code} ${found}`

async function outcomeOf(run: () => Promise<readonly TensorValue[]>): Promise<Outcome> {
  try {
    return { passed: true, outputs: await run() }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    return { passed: false, why: why.replaceAll(/\s+/g, ' ').slice(0, 400) }
  }
}

const short = (outcome: Outcome): string => (outcome.passed ? '' : outcome.why)

export const push = {
  async raw(i: number, provider: WebProvider): Promise<string> {
    const outcome = await outcomeOf(() => onRaw(i, provider))
    kept.set(i, outcome)
    return short(outcome)
  },
  async open(profile: FirmwareProfile): Promise<void> {
    runtime = createWebRuntime({
      ...{ device: 'd1', boot: 'b1', profile },
      engine: { gpu: profile.executionProviders.includes('webgpu'), threads: 1 },
      gpuMissing: '',
      script: new URL('./runtime-worker-main.js', import.meta.url),
      readArtifact,
      surroundings: { runtimeVersion: '', machine: '', drivers: '' },
      proofs: {
        ...{ read: async () => undefined, write: async () => undefined },
        ...{ names: async () => [], remove: async () => undefined },
      },
      limits: { flushMs: 1_000, hangMs: 60_000, deadlineMsMax: ASK_MS_MAX },
    })
    runtime.onEvent((event) => event.kind !== 'interval' && events.push(event))
  },
  /** @returns why it did not pass, and how its outputs differ from what `raw` gave before. */
  async linnet(i: number, release: ResolvedRelease) {
    const outcome = await outcomeOf(() => onLinnet(i, release))
    const raw = kept.get(i)
    const differs =
      outcome.passed && raw?.passed === true
        ? compareOutputs(outcome.outputs, raw.outputs, SAME).reason
        : ''
    return { why: short(outcome), differs, events: JSON.stringify(events.splice(0)) }
  },
}

Object.assign(globalThis, { push })
