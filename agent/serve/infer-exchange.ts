/**
 * One inference request over HTTP, from its bytes to the bytes of its answer, whatever server carries
 * it: the fetch-like API (browser, tests) and the direct path of Node's server are both thin shells
 * around this, so they cannot differ. Source: Open Inference Protocol v2, `POST .../infer`.
 */
import { ok, refuse, toProblem } from '../../shared/kernel/result.ts'
import type { DataPlane, InferRequest } from '../data-plane.ts'
import { withClasses } from './classification.ts'
import { decodeInfer, isArm } from './infer-decode.ts'
import { encodeAnswer } from './infer-encode.ts'
import { refusalAnswer, type WireAnswer } from './refusal.ts'
import { isPriority } from './request-control.ts'

export interface InferExchange {
  readonly model: string
  readonly version: string | undefined
  readonly body: Uint8Array
  /** `Inference-Header-Content-Length`, as it was sent. */
  readonly headerLength: string | undefined
  /** `linnet-arm`, as it was sent. */
  readonly forcedArm: string | undefined
  /** `linnet-priority`, as it was sent. */
  readonly priority: string | undefined
  /** `plane.nowMs()` when the request's head was read. */
  readonly arrivedAtMs: number
  readonly isGone: (() => boolean) | undefined
}

export async function answerInfer(plane: DataPlane, exchange: InferExchange): Promise<WireAnswer> {
  const { model, version, body, headerLength, forcedArm, arrivedAtMs, isGone } = exchange
  if (forcedArm !== undefined && !isArm(forcedArm)) return refusalAnswer(noArm(forcedArm))
  if (exchange.priority !== undefined && !isPriority(exchange.priority)) {
    return refusalAnswer(noPriority(exchange.priority))
  }
  const decoded = decodeInfer(body, headerLength === undefined ? undefined : Number(headerLength))
  if (!decoded.ok) return refusalAnswer(decoded.error)
  const { id, inputs, outputs, binaryOutput, classes, key, deadlineMs, stream } = decoded.value
  const arm = forcedArm ?? decoded.value.arm
  const priority = exchange.priority ?? decoded.value.priority
  // Spelled out: on the way of every request, copying fields from objects is felt.
  const request: InferRequest = {
    model,
    version,
    id,
    inputs,
    outputs,
    arm,
    key,
    stream,
    priority,
    deadlineMs,
    arrivedAtMs,
    isGone,
  }
  const answered = await plane.infer(request, (answer) => {
    const told = withClasses(answer, classes, plane)
    return told.ok ? ok(encodeAnswer(told.value, id, binaryOutput)) : told
  })
  if (!answered.ok) return refusalAnswer(answered.error)
  return answered.value
}

/** For what should not have happened: the exchange itself threw. */
export function brokenAnswer(cause: unknown): WireAnswer {
  const refused = refuse('infer.failed', 'The request failed inside the model host.', {
    found: toProblem(cause, 'infer.failed').message.slice(0, 300),
  })
  return refusalAnswer(refused.error)
}

function noPriority(found: string) {
  return refuse('request.malformed', 'The linnet-priority header names no priority.', {
    expected: 'high or normal',
    found: found.slice(0, 64),
  }).error
}

function noArm(found: string) {
  return refuse('request.malformed', 'The linnet-arm header names no arm.', {
    expected: 'baseline or canary',
    found: found.slice(0, 64),
  }).error
}
