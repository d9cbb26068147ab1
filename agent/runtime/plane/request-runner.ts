/**
 * The part of a request's life that an arm answers for: waiting, running, checking, encoding, each
 * timed at the same points for both arms. Whatever happens here, there is exactly one outcome.
 */
import { type Problem, type Result, refuse } from '../../../shared/kernel/result.ts'
import { rowsAlong } from '../../../shared/model/batch.ts'
import { featureValue } from '../../../shared/model/feature-value.ts'
import type { ErrorKind } from '../../../shared/sketch/window.ts'
import type { RequestSample } from '../../../shared/sketch/window-record.ts'
import type { InferAnswer, InferRequest } from '../../data-plane.ts'
import { disclosed } from './disclose.ts'
import type { Draw } from './model-route.ts'
import { outputWithNan, predictionOf } from './read-answer.ts'
import type { JobQueue } from './run-jobs.ts'

export interface Outcome<T> {
  readonly result: Result<T>
  readonly sample: RequestSample
  /** Undefined where no run of the model came to its end. */
  readonly run: RunPart | undefined
}

/** What a request had to do with a run that came to its end. */
export interface RunPart {
  /** Of the request itself. */
  readonly rows: number
  /** Of all requests that shared the run. */
  readonly runRows: number
  /** The run is counted with this request, and not with the others that shared it. */
  readonly leads: boolean
}

export interface RunnerOptions {
  readonly queue: JobQueue
  readonly nowMs: () => number
  readonly deadlineMsMax: number
}

export type Encode<T> = (answer: InferAnswer) => Result<T>

export async function runRequest<T>(
  { queue, nowMs, deadlineMsMax }: RunnerOptions,
  request: InferRequest,
  { arm, live }: Draw,
  encode: Encode<T>,
): Promise<Outcome<T>> {
  const { arrivedAtMs, inputs, isGone, priority } = request
  const drawnAtMs = nowMs()
  const input = drawnAtMs - arrivedAtMs
  const deadlineMs = Math.min(request.deadlineMs ?? deadlineMsMax, deadlineMsMax)
  const rows = rowsAlong(live.rowAxis, inputs)
  const ran = await queue.run(
    { live, inputs, outputs: request.outputs, rows },
    { deadlineAtMs: arrivedAtMs + deadlineMs, isGone, priority },
  )
  if (!ran.ok) {
    return {
      result: ran,
      sample: { error: errorKind(ran.error), latencyMs: { input } },
      run: undefined,
    }
  }
  const { value: computed, startMs, endMs, leads, runRows } = ran.value
  const reached = { input, queue: startMs - drawnAtMs, compute: endMs - startMs }
  if (!computed.ok) {
    return { result: computed, sample: { error: 'internal', latencyMs: reached }, run: undefined }
  }
  const run = { rows, runRows, leads }
  const features = live.features.map((feature) => featureValue(feature, inputs))
  if (endMs > arrivedAtMs + deadlineMs) {
    const latencyMs = { ...reached, total: nowMs() - arrivedAtMs }
    const sample = { error: 'timeout', latencyMs, features } as const
    return { result: refuseLate(deadlineMs), sample, run }
  }
  const outputs = computed.value
  const { model, version, variant, provider } = live
  const told = disclosed(outputs, live.manifest)
  const result = encode({ model, version, variant: variant.name, arm, provider, outputs: told })
  const doneMs = nowMs()
  const { queue: queued, compute } = reached
  const [output, total] = [doneMs - endMs, doneMs - arrivedAtMs]
  const latencyMs = { input, queue: queued, compute, output, total }
  const isValid = result.ok && outputWithNan(outputs) === undefined
  const prediction = predictionOf(live.manifest.classes, outputs)
  const error = isValid ? undefined : 'invalid_output'
  return { result, sample: { error, latencyMs, features, prediction }, run }
}

/** Why the line gave a request back. */
function errorKind({ code }: Problem): ErrorKind {
  if (code === 'infer.cancelled') return 'cancelled'
  return code === 'infer.overloaded' ? 'overloaded' : 'timeout'
}

function refuseLate(deadlineMs: number): Result<never> {
  return refuse('infer.deadline', 'The deadline passed during the run.', {
    expected: `an answer within ${deadlineMs} ms`,
  })
}
