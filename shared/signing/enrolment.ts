/**
 * The enrolment request: token, nonce and facts, signed by the key that the device made, which
 * proves that it holds that key. Whether token and nonce are good is the controller's to say.
 */

import { toHex } from '../kernel/bytes.ts'
import { ok, type Problem, type Result, refuse } from '../kernel/result.ts'
import { type Enrolment, enrolmentSchema } from '../model/enrolment.ts'
import { canonicalBytes } from './canonical-json.ts'
import { isSignedBy, openEnvelope } from './envelope.ts'
import { after, type Checking, type Envelope, keyId, type Signer, type SyncSigner } from './keys.ts'

export const ENROLMENT_BYTES_MAX = 32_768
const LIMITS = { bytesMax: ENROLMENT_BYTES_MAX, depthMax: 8, valuesMax: 512 }

export type EnrolmentRequest = Omit<Enrolment, '_type' | 'specVersion' | 'publicKey'>

/** The envelope, or its promise if the signer has only promises; code `json.not_canonical`. */
export function signEnrolment(
  request: EnrolmentRequest,
  signer: SyncSigner,
): Result<Envelope<Enrolment>>
export function signEnrolment(
  request: EnrolmentRequest,
  signer: Signer,
): Result<Envelope<Enrolment>> | Promise<Result<Envelope<Enrolment>>>
export function signEnrolment(
  request: EnrolmentRequest,
  signer: Signer,
): Result<Envelope<Enrolment>> | Promise<Result<Envelope<Enrolment>>> {
  const { keytype, scheme, keyval } = signer.key
  const publicKey = { keytype, scheme, keyval: { public: keyval.public } }
  const signed = { _type: 'enrolment', specVersion: '1', ...request, publicKey } as Enrolment
  const message = canonicalBytes(signed)
  if (!message.ok) return message
  return after(signer.sign(message.value), (signature) =>
    ok({ signed, signatures: [{ keyid: keyId(signer.key), sig: toHex(signature) }] }),
  )
}

export interface CheckedEnrolment {
  readonly enrolment: Enrolment
  /** Key id of the device's key. */
  readonly fingerprint: string
}

/**
 * The one case where a field is read before the signature holds: the key is inside, and the
 * signature proves only that the sender has its private half. Codes: `enrolment.too_large`,
 * `.malformed`, `.signature`.
 */
export function* checkEnrolment(bytes: Uint8Array): Checking<Result<CheckedEnrolment>> {
  const opened = openEnvelope(bytes, LIMITS)
  if (!opened.ok) return refuseForm(opened.error)
  const parsed = enrolmentSchema.safeParse(opened.value.signed)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const found = `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`
    return refuse('enrolment.malformed', 'The enrolment has not the expected form.', { found })
  }
  const { publicKey } = parsed.data
  const fingerprint = keyId(publicKey)
  const keys = new Map([[fingerprint, publicKey]])
  if (yield* isSignedBy(opened.value, { keys, threshold: 1 })) {
    return ok({ enrolment: parsed.data, fingerprint })
  }
  return refuse('enrolment.signature', 'The enrolment is not signed by the key that it brings.', {
    expected: fingerprint,
    found: opened.value.signatures.map(({ keyid }) => keyid).join(', ') || 'no signature',
  })
}

function refuseForm({ code, message, expected, found }: Problem): Result<never> {
  const large = code === 'json.too_large'
  return refuse(large ? 'enrolment.too_large' : 'enrolment.malformed', message, {
    ...(expected === undefined ? {} : { expected }),
    ...(found === undefined ? {} : { found }),
  })
}
