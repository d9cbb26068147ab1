/**
 * The time, signed by the director for one question of one device, for devices whose clock is not
 * set (Uptane's time server). Invariant: an answer is good for the nonce that it carries and for
 * nothing else, so it can be neither replayed nor given to another device.
 */
import { z } from 'zod'
import { ok, type Result, refuse } from '../kernel/result.ts'
import { idSchema, timeMsSchema, timeNonceSchema } from '../model/names.ts'
import { isSignedBy, type KeySet, openEnvelope, signEnvelope } from './envelope.ts'
import type { Checking, Envelope, SyncSigner } from './keys.ts'

const LIMITS = { bytesMax: 4_096, depthMax: 4, valuesMax: 64 }

const signedTimeSchema = z.strictObject({
  _type: z.literal('time'),
  fleet: idSchema,
  device: idSchema,
  nonce: timeNonceSchema,
  timeMs: timeMsSchema,
})
export type SignedTime = z.infer<typeof signedTimeSchema>

/** Code `json.not_canonical`. */
export function signTime(
  time: Omit<SignedTime, '_type'>,
  signers: readonly SyncSigner[],
): Result<Envelope<SignedTime>> {
  return signEnvelope({ _type: 'time' as const, ...time }, signers)
}

/** @returns the time in ms. Codes `json.*`, `envelope.malformed`, `time.signature`, `time.nonce`. */
export function* acceptTime(
  bytes: Uint8Array,
  director: KeySet,
  expected: Omit<SignedTime, '_type' | 'timeMs'>,
): Checking<Result<number>> {
  const opened = openEnvelope(bytes, LIMITS)
  if (!opened.ok) return opened
  if (!(yield* isSignedBy(opened.value, director))) {
    return refuse('time.signature', 'The time is not signed by the director.')
  }
  const time = signedTimeSchema.safeParse(opened.value.signed).data
  const { fleet, device, nonce } = expected
  if (time?.fleet === fleet && time.device === device && time.nonce === nonce) {
    return ok(time.timeMs)
  }
  return refuse('time.nonce', 'The time is the answer to another question.', { expected: nonce })
}
