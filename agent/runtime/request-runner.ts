/**
 * The part of a request's life that an arm answers for: waiting, running, checking, encoding, each
 * timed at the same points for both arms. Whatever happens here, there is exactly one outcome.
 */
import { ok, type Problem, type Result, refuse, toProblem } from '../../shared/kernel/result.ts'
import { featureValue } from '../../shared/model/feature-value.ts'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import type { ErrorKind } from '../../shared/sketch/window.ts'
import type { RequestSample } from '../../shared/sketch/window-record.ts'
import type { InferAnswer, InferRequest } from '../data-plane.ts'
import { disclosed } from './disclose.ts'
import type { LiveRelease } from './live-release.ts'
import type { Draw } from './model-route.ts'
import { outputWithNan, predictionOf } from './read-answer.ts'
import type { RunQueue } from './run-queue.ts'

export interface Outcome<T> {
  readonly result: Result<T>
  readonly sample: RequestSample
}

export interface RunnerOptions {
  readonly queue: RunQueue
  readonly nowMs: () => number
  readonly deadlineMsMax: number
  readonly mark: (live: LiveRelease | null) => void
}

export type Encode<T> = (answer: InferAnswer) => Result<T>

export async function runRequest<T>(
  { queue, nowMs, deadlineMsMax, mark }: RunnerOptions,
  request: InferRequest,
  { arm, live }: Draw,
  encode: Encode<T>,
): Promise<Outcome<T>> {
  const { arrivedAtMs } = request
  const drawnAtMs = nowMs()
  const input = drawnAtMs - arrivedAtMs
  const deadlineMs = Math.min(request.deadlineMs ?? deadlineMsMax, deadlineMsMax)
  const task = async (): Promise<Result<readonly TensorValue[]>> => {
    mark(live)
    try {
      return ok(await live.session.run(request.inputs, request.outputs))
    } catch (cause) {
      return runFailed(live, cause)
    } finally {
      mark(null)
    }
  }
  const ran = await queue.run(task, arrivedAtMs + deadlineMs, request.isGone)
  if (!ran.ok) return { result: ran, sample: { error: errorKind(ran.error), latencyMs: { input } } }
  const { value: computed, startMs, endMs } = ran.value
  const reached = { input, queue: startMs - drawnAtMs, compute: endMs - startMs }
  if (!computed.ok) return { result: computed, sample: { error: 'internal', latencyMs: reached } }
  const features = live.features.map((feature) => featureValue(feature, request.inputs))
  if (endMs > arrivedAtMs + deadlineMs) {
    const latencyMs = { ...reached, total: nowMs() - arrivedAtMs }
    return { result: refuseLate(deadlineMs), sample: { error: 'timeout', latencyMs, features } }
  }
  const outputs = computed.value
  const { model, version, variant, provider } = live
  const told = disclosed(outputs, live.manifest)
  const result = encode({ model, version, variant: variant.name, arm, provider, outputs: told })
  const doneMs = nowMs()
  const latencyMs = { ...reached, output: doneMs - endMs, total: doneMs - arrivedAtMs }
  const isValid = result.ok && outputWithNan(outputs) === undefined
  const prediction = predictionOf(live.manifest.classes, outputs)
  const error = isValid ? undefined : 'invalid_output'
  return { result, sample: { error, latencyMs, features, prediction } }
}

function runFailed(live: LiveRelease, cause: unknown): Result<never> {
  const { message } = toProblem(cause, 'infer.failed')
  return refuse('infer.failed', 'The model could not compute this request.', {
    found: `${live.version}: ${message}`.slice(0, 500),
  })
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
