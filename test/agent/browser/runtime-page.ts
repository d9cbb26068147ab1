/** The page of the runtime tests: makes a `WebRuntime` on demand and hands it to the test by name. */

import {
  createInferenceClient,
  type InferenceClient,
  type InferOptions,
} from '../../../agent/browser/inference-client.ts'
import { memoryRecords } from '../../../agent/browser/records.ts'
import { openDeviceKey } from '../../../agent/browser/web-identity.ts'
import type { ReadArtifact } from '../../../agent/browser/web-qualifier.ts'
import { createWebRuntime, type WebRuntime } from '../../../agent/browser/web-runtime.ts'
import type { ResolvedRelease, RuntimeEvent, ServePlan, SmallFiles } from '../../../agent/ports.ts'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'

export interface BenchSettings {
  readonly profile: FirmwareProfile
  readonly gpu: boolean
  readonly threads: number
  readonly hangMs?: number
  /** Of a fleet: with a key, which signs its proofs; they stay in the page for its next runtime. */
  readonly isMember?: boolean
  /** What the page says of the GPU. */
  readonly drivers?: string
}

function mapFiles(): SmallFiles {
  const files = new Map<string, string>()
  return {
    read: async (name) => files.get(name),
    write: async (name, text) => void files.set(name, text),
    names: async () => [...files.keys()],
    remove: async (name) => void files.delete(name),
  }
}

const readArtifact: ReadArtifact = async (sha256) => {
  const response = await fetch(`/files/${sha256}`)
  if (response.ok) return { ok: true, value: new Uint8Array(await response.arrayBuffer()) }
  const problem = { code: 'artifact.missing', message: `${response.status}` }
  return { ok: false, error: problem }
}

const proofs = mapFiles()
const key = openDeviceKey(memoryRecords())
let runtime: WebRuntime
let client: InferenceClient
let asking = false
const answered: Record<string, number> = {}
const events: RuntimeEvent[] = []
const attempts: unknown[] = []

export const bench = {
  isolated: () => globalThis.crossOriginIsolated,
  async create(settings: BenchSettings): Promise<void> {
    const { profile, gpu, threads, hangMs, isMember = false, drivers = '' } = settings
    const { signer } = await key
    runtime = createWebRuntime({
      device: 'd1',
      boot: 'b1',
      profile,
      engine: { gpu, threads },
      gpuMissing: gpu ? '' : 'switched off for this test',
      script: new URL('./runtime-worker-main.js', import.meta.url),
      readArtifact,
      proofs,
      ...(isMember && { signer }),
      surroundings: { runtimeVersion: 'bench', machine: navigator.userAgent, drivers },
      onAttempt: (attempt, measured) => attempts.push({ attempt, measured }),
      limits: { flushMs: 50, ...(hangMs === undefined ? {} : { hangMs }) },
    })
    runtime.onEvent((event) => events.push(event))
    client = createInferenceClient(runtime.fetch)
  },
  async hasGpu(): Promise<boolean> {
    const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<unknown> } }
    return ((await gpu?.requestAdapter()) ?? null) !== null
  },
  /** By typed arrays: so many rows, each with `x0` as its first element. */
  async infer(x0: number, rows: number, options: InferOptions) {
    const data = new Float32Array(2 * rows)
    for (let i = 0; i < rows; i++) data[2 * i] = x0
    const tensor = { name: 'x', datatype: 'FP32' as const, shape: [rows, 2], data }
    const answer = await client.infer('tiny', [tensor], options)
    if (!answer.ok) return answer
    const { outputs, ...facts } = answer.value
    const [scores] = outputs
    return {
      ok: true as const,
      value: { ...facts, shape: scores?.shape, last: scores?.data.at(-1) },
    }
  },
  /** A stream with these first elements; @returns the version of each answer, or its refusal. */
  async stream(firsts: readonly number[]) {
    const stream = client.stream('tiny')
    const answered: string[] = []
    for (const [i, x0] of firsts.entries()) {
      const data = Float32Array.of(x0, 0)
      const tensor = { name: 'x', datatype: 'FP32' as const, shape: [1, 2], data }
      const answer = await stream.infer([tensor], { isLast: i === firsts.length - 1 })
      answered.push(answer.ok ? answer.value.version : answer.error.code)
    }
    return answered
  },
  feedback: (id: string, label: string) => client.feedback('tiny', id, label),
  /** Asks without a pause until told; @returns how often each version answered, and refusals. */
  async askOn(): Promise<void> {
    asking = true
    while (asking) {
      const answer = await bench.infer(1, 1, {})
      const name = answer.ok ? answer.value.version : answer.error.code
      answered[name] = (answered[name] ?? 0) + 1
    }
  },
  stopAsking() {
    asking = false
    return answered
  },
  qualify(release: ResolvedRelease, aborted: boolean) {
    return runtime.qualify(release, aborted ? AbortSignal.abort() : new AbortController().signal)
  },
  serve: (plan: ServePlan) => runtime.serve(plan),
  close: () => runtime.close(),
  restartHost: () => runtime.restartHost(),
  attempts: () => attempts,
  /** What happened since the last call. */
  takeEvents: () => events.splice(0),
  /** One request over the local API. */
  async ask(path: string, body: string | null, headers: Record<string, string> = {}) {
    const init = body === null ? { headers } : { method: 'POST', body, headers }
    const response = await runtime.fetch(path, init)
    const text = await response.text()
    return { status: response.status, headers: Object.fromEntries(response.headers), text }
  },
}

Object.assign(globalThis, { bench })
