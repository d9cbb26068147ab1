/**
 * What the page and its workers say to each other. A worker is started once and becomes, by its first
 * message, either the model host (`host`) or a qualifier for one configuration (`prove`). Bytes are
 * transferred, not copied: whoever sends them has them no more, so what a worker hashed is what it
 * parses.
 */
import type { Problem, Result } from '../../shared/kernel/result.ts'
import type { FromHost, HostPlan } from '../runtime/host/host-protocol.ts'
import type { QualifierNews, QualifierTask } from '../runtime/qualify/qualifier-protocol.ts'

/** Which build of ONNX Runtime Web a worker loads, and the threads of its only pool. */
export interface EngineChoice {
  /** The build that also has webgpu and webnn. */
  readonly gpu: boolean
  /** All sessions of a worker share one pool, so the count is the device's, not a release's. */
  readonly threads: number
}

export interface WorkerHostOptions {
  readonly engine: EngineChoice
  readonly device: string
  readonly boot: string
  readonly incarnation: number
  readonly flushMs: number
  readonly queueLengthMax: number
  readonly deadlineMsMax: number
  readonly requestBytesMax: number
}

/** An HTTP request without HTTP. */
export interface WireRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body: Uint8Array<ArrayBuffer> | null
}

export interface WireResponse {
  readonly status: number
  readonly headers: readonly (readonly [string, string])[]
  readonly body: Uint8Array<ArrayBuffer>
}

export interface ProofOrder {
  readonly engine: EngineChoice
  readonly task: QualifierTask
  readonly model: Uint8Array<ArrayBuffer>
  readonly golden: Uint8Array<ArrayBuffer>
}

export type ToWorker =
  | { readonly kind: 'host'; readonly options: WorkerHostOptions }
  | { readonly kind: 'prove'; readonly order: ProofOrder }
  | { readonly kind: 'plan'; readonly plan: HostPlan }
  /** The answer to `need`. */
  | {
      readonly kind: 'artifact'
      readonly sha256: string
      readonly bytes: Result<Uint8Array<ArrayBuffer>>
    }
  | { readonly kind: 'request'; readonly id: number; readonly request: WireRequest }
  /** Nobody waits for this request any more; it is answered all the same. */
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'close' }

export type FromWorker =
  | Exclude<FromHost, { readonly kind: 'listening' | 'cannotListen' }>
  /** The worker takes plans and requests now. */
  | { readonly kind: 'ready' }
  /** The page has the storage; the worker asks for what it loads. */
  | { readonly kind: 'need'; readonly sha256: string; readonly length: number }
  /** Which release runs, for whoever has to explain a hang. */
  | { readonly kind: 'running'; readonly sha256: string | null }
  | { readonly kind: 'response'; readonly id: number; readonly response: WireResponse }
  | ({ readonly kind: 'proved' } & QualifierNews)
  /** The WebAssembly module is broken for good: this worker must end. */
  | { readonly kind: 'crashed'; readonly problem: Problem }
  | { readonly kind: 'closed' }
