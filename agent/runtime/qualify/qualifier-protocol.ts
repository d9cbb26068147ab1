/**
 * What the agent asks of a qualifier process and what comes back: one process proves one release on
 * one execution provider with one set of options, and ends. Of a release that passed it may be asked
 * for more, which it tells as it goes: what it said before it died, holds.
 */
import type { Problem } from '../../../shared/kernel/result.ts'
import type { Manifest, Variant } from '../../../shared/model/manifest.ts'
import type { ExecutionProvider, FirmwareProfile } from '../../../shared/model/profile.ts'
import type { BatchProof } from './prove-batch.ts'
import type { ProcessorSettings, Tuning } from './tune-settings.ts'

export interface QualifierTask {
  readonly manifest: Manifest
  readonly variant: Variant
  readonly modelPath: string
  readonly goldenPath: string
  /** Why there is no golden vector; only of what nobody signed (ResolvedRelease). */
  readonly unproved?: string
  /** Opens both, where artifacts are encrypted. */
  readonly artifactKey?: Uint8Array
  readonly provider: ExecutionProvider
  readonly layout: 'NCHW' | 'NHWC' | null
  /** What is proved; absent: the default settings. */
  readonly settings?: ProcessorSettings
  /** Wanted once the proof has passed: a search for faster settings; not in browsers. */
  readonly tuning?: { readonly budgetMs: number; readonly threadsMax: number }
  /** Wanted once the settings are found to stay: an optimised model file at this path. */
  readonly optimised?: { readonly path: string; readonly bytesMax: number }
  /** Wanted last, in the settings that stay: whether requests may run together. */
  readonly batching?: true
  readonly limits: FirmwareProfile['limits']
}

export interface Measured {
  readonly runtimeVersion: string
  readonly goldenDifferenceMax: number | null
  readonly threads: number
  readonly loadMs: number
  readonly firstRunMs: number
  readonly steadyMsP50: number
  readonly steadyMsP95: number
  /** Of the process that proved it; null where the system does not tell. */
  readonly residentMb: number | null
  readonly peakMb: number | null
  /** Of that what the session took; absent where the system does not tell. */
  readonly sessionMb?: number
}

/** A file that ONNX Runtime wrote after its optimisations, and whether it pays. */
export interface OptimisedTrial {
  readonly kept: boolean
  readonly reason: string
  readonly sha256: string
  readonly length: number
  /** From bytes in memory to a session, the digest included; null when it was not compared. */
  readonly loadMs: number | null
  readonly sourceLoadMs: number | null
}

export interface Passed {
  readonly outcome: 'passed'
  readonly measured: Measured
  readonly tuning?: Tuning
  readonly optimised?: OptimisedTrial
  readonly batching?: BatchProof
  /** What ended the process before it had done all that was asked. */
  readonly cut?: Problem
}

export interface Refused {
  readonly outcome: 'refused'
  readonly problem: Problem
  readonly goldenDifferenceMax: number | null
}

/** One message of the process: what it knows by now. */
export interface QualifierNews {
  readonly answer: QualifierAnswer
  readonly isLast: boolean
}

export type QualifierAnswer =
  | Passed
  /** The provider is not there: no driver, no library, not in this build. */
  | { readonly outcome: 'unavailable'; readonly reason: string }
  /** The file itself is not acceptable; no other provider can help. */
  | { readonly outcome: 'inadmissible'; readonly problem: Problem }
  | Refused
