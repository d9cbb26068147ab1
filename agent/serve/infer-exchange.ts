/**
 * One inference request over HTTP, from its bytes to the bytes of its answer, whatever server carries
 * it: the fetch-like API (browser, tests) and the direct path of Node's server are both thin shells
 * around this, so they cannot differ. Source: Open Inference Protocol v2, `POST .../infer`.
 */
import { ok, refuse } from '../../shared/kernel/result.ts'
import type { DataPlane } from '../data-plane.ts'
import { decodeInfer, isArm } from './infer-decode.ts'
import { encodeAnswer } from './infer-encode.ts'
import { refusalAnswer, type WireAnswer } from './refusal.ts'

export interface InferExchange {
  readonly model: string
  readonly version: string | undefined
  readonly body: Uint8Array
  /** `Inference-Header-Content-Length`, as it was sent. */
  readonly headerLength: string | undefined
  /** `linnet-arm`, as it was sent. */
  readonly forcedArm: string | undefined
  /** `plane.nowMs()` when the request's head was read. */
  readonly arrivedAtMs: number
  readonly isGone: (() => boolean) | undefined
}

export async function answerInfer(plane: DataPlane, exchange: InferExchange): Promise<WireAnswer> {
  const { model, version, body, headerLength, forcedArm, arrivedAtMs, isGone } = exchange
  if (forcedArm !== undefined && !isArm(forcedArm)) return refusalAnswer(noArm(forcedArm))
  const decoded = decodeInfer(body, headerLength === undefined ? undefined : Number(headerLength))
  if (!decoded.ok) return refusalAnswer(decoded.error)
  const { id, inputs, outputs, binaryOutput, key, deadlineMs } = decoded.value
  const arm = forcedArm ?? decoded.value.arm
  const answered = await plane.infer(
    { model, version, inputs, outputs, id, arm, key, deadlineMs, arrivedAtMs, isGone },
    (answer) => ok(encodeAnswer(answer, id, binaryOutput)),
  )
  if (!answered.ok) return refusalAnswer(answered.error)
  return answered.value
}

function noArm(found: string) {
  return refuse('request.malformed', 'The linnet-arm header names no arm.', {
    expected: 'baseline or canary',
    found: found.slice(0, 64),
  }).error
}
