/**
 * In which settings a session of a release runs, beyond its provider: a part of its proof, and carried
 * with it wherever the release goes.
 */
import type { BatchSettings } from './batch-settings.ts'
import type { ProcessorSettings } from './qualify/tune-settings.ts'

/** A model file as ONNX Runtime optimised it, vouched for by a qualification record. */
export interface OptimisedFile {
  readonly path: string
  readonly sha256: string
  readonly length: number
}

/** How a release was qualified on this device. */
export interface RunSettings extends ProcessorSettings {
  readonly layout: 'NCHW' | 'NHWC' | null
  /** Loaded in place of the artifact while its bytes have this digest. */
  readonly optimised?: OptimisedFile | null
  /** Absent or null: each request runs by itself. */
  readonly batching?: BatchSettings | null | undefined
}

/** Those that most proofs are made in. */
export const USUAL_SETTINGS: RunSettings = { threads: 1, layout: null }
