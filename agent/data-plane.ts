/**
 * What the local API needs from the model host, and nothing of how it runs models: the HTTP server,
 * the in-process client and the browser's message port all speak to this.
 * Durations are measured with the plane's own monotonic clock (`nowMs`), not the time of day.
 */
import type { Result } from '../shared/kernel/result.ts'
import type { Manifest } from '../shared/model/manifest.ts'
import type { ExecutionProvider } from '../shared/model/profile.ts'
import type { TensorSpec } from '../shared/model/tensor.ts'
import type { TensorValue } from '../shared/model/tensor-value.ts'
import type { Arm } from '../shared/protocol/messages.ts'
import type { LatencyHistogram } from '../shared/sketch/latency-histogram.ts'
import type { ErrorKind, LatencyPart } from '../shared/sketch/window.ts'

/** Who waits shorter; `normal` is never starved (runtime/waiting-lines.ts). */
export type Priority = 'high' | 'normal'

/** A request of a stream: all of them are answered by the release that answered the first. */
export interface StreamPart {
  readonly id: string
  readonly start: boolean
  readonly end: boolean
}

export interface InferRequest {
  readonly model: string
  /** A version asks for one release and stays out of the statistics; absent: by traffic share. */
  readonly version?: string | undefined
  readonly inputs: readonly TensorValue[]
  /** Outputs to return; absent: all. */
  readonly outputs?: readonly string[] | undefined
  /** Names this request for feedback. */
  readonly id?: string | undefined
  /** Forces an arm; such a request stays out of the statistics. */
  readonly arm?: Arm | undefined
  /** Keeps all requests of one session on one arm; they stay out of the statistics. */
  readonly key?: string | undefined
  /** Such a request stays out of the statistics, as one with a key. */
  readonly stream?: StreamPart | undefined
  /** Absent: normal. */
  readonly priority?: Priority | undefined
  /** From arrival to answer; absent: the host's own limit. */
  readonly deadlineMs?: number | undefined
  /** `nowMs()` when the request was read. */
  readonly arrivedAtMs: number
  /** Asked before the run: nobody waits for the answer any more. */
  readonly isGone?: (() => boolean) | undefined
}

export interface InferAnswer {
  readonly model: string
  readonly version: string
  readonly variant: string
  readonly arm: Arm
  readonly provider: ExecutionProvider
  readonly outputs: readonly TensorValue[]
}

/** One release of a model that can be asked. */
export interface ReleaseStatus {
  readonly model: string
  readonly version: string
  readonly variant: string
  readonly slot: 'current' | 'candidate' | 'previous' | 'other'
  readonly provider: ExecutionProvider
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly classes: Manifest['classes']
}

/** Since the host started; forced and keyed requests included. */
export interface ReleaseStatistics {
  readonly model: string
  readonly version: string
  /** Requests. */
  readonly answered: number
  /** Rows of answered requests: a request for a batch of eight counts eight. */
  readonly inferences: number
  /** Runs of the model that came to their end; requests that ran together share one. */
  readonly executions: number
  /** The same runs by the rows that they had. */
  readonly batches: readonly BatchStatistics[]
  /** Refused, because the release's policy allows so many a minute; no errors, of no arm. */
  readonly rateLimited: number
  /** Requests that were refused for their inputs, of no arm and no errors. */
  readonly refused: readonly RefusedCount[]
  /** Requests that were taken with values outside a range of the manifest, by input or feature. */
  readonly outsideRange: readonly { readonly name: string; readonly count: number }[]
  /** Shadow runs of this release that gave way to served ones. */
  readonly shadowDropped: number
  /** Since 1970; 0: never asked. */
  readonly lastAtMs: number
  readonly errors: Readonly<Record<ErrorKind, number>>
  /** Of answered requests alone, as a mean is made of them. */
  readonly latency: Readonly<Record<LatencyPart, LatencyHistogram>>
  /** Sums of the same in ms. */
  readonly latencySumMs: Readonly<Record<LatencyPart, number>>
  /** Of requests by their outcome: how long they took, a failed one as far as it came. */
  readonly outcomeSumMs: Readonly<Record<'answered' | 'failed', number>>
}

/** What can be wrong with the inputs of a request. */
export type FlawReason =
  | 'unknown_input'
  | 'given_twice'
  | 'datatype'
  | 'shape'
  | 'text'
  | 'missing'
  | 'not_finite'
  | 'range'
  | 'unknown_output'

export interface RefusedCount {
  readonly reason: FlawReason
  /** Of the input, or of the feature that has the range; empty where the release has no such name. */
  readonly name: string
  readonly count: number
}

/** Runs of one size. */
export interface BatchStatistics {
  readonly rows: number
  readonly executions: number
  /** Sums in ms over all requests of those runs; each run's own time counts once. */
  readonly latencySumMs: Readonly<Record<'input' | 'compute' | 'output', number>>
}

export interface DataPlane {
  nowMs(): number
  /** True once a plan is in force and every model that it brings is loaded. */
  ready(): boolean
  /** A request for this model comes too early: its plan is not known or not loaded yet. */
  loading(model: string): boolean
  releases(): readonly ReleaseStatus[]
  statistics(): readonly ReleaseStatistics[]
  /** Requests that wait for their run: all of them, or those of one release. */
  queued(of?: Pick<ReleaseStatus, 'model' | 'version'>): number
  /**
   * Validates, draws the arm, waits, runs, and has the answer encoded; `encode` is timed as part of
   * the request. Errors: `infer.unknown_model`, `infer.unknown_version`, `infer.not_ready`,
   * `infer.invalid_input`, `infer.unknown_output`, `infer.rate_limited`,
   * `infer.overloaded`, `infer.deadline`, `infer.cancelled`, `infer.failed`, `stream.unknown`, `stream.version_gone`, `stream.too_many`,
   * and whatever `encode` refuses.
   */
  infer<T>(request: InferRequest, encode: (answer: InferAnswer) => Result<T>): Promise<Result<T>>
  /**
   * Joins the truth to an earlier prediction; `label` is a class name or index.
   * Errors: `feedback.unknown_id`, `feedback.unknown_label`, `feedback.no_classes`.
   */
  feedback(model: string, id: string, label: string | number): Result<{ correct: boolean }>
}
