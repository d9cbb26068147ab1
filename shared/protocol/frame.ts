/**
 * Signed frames around payloads: CBOR `[1, payload, signature]`, or JSON `{ "payload": "...", "sig":
 * "<base64>" }` with the payload as text. The signature covers type, fleet, device, topic and the
 * payload bytes as sent (shared/signing/frame.ts).
 *
 * Invariant: `openMessage` decodes a payload only after its signature held. Unsigned frames have an
 * empty signature, which never verifies; whether a development flag lets them through is the
 * caller's, who then reads `openFrame` alone.
 */
import { fromBase64, fromUtf8, toBase64, utf8 } from '../kernel/bytes.ts'
import { ok, type Result, refuse } from '../kernel/result.ts'
import { isJsonObject, member, parseJson } from '../signing/canonical-json.ts'
import { signFrame, verifyFrame } from '../signing/frame.ts'
import {
  after,
  type Checking,
  type PublicKey,
  type Signer,
  type SyncSigner,
} from '../signing/keys.ts'
import { decodeCbor, encodeCbor } from './cbor-subset.ts'
import {
  CODECS,
  decodeMessage,
  encodeMessage,
  formOf,
  type MessageKind,
  type MessageOf,
  type WireForm,
} from './codec.ts'

export interface Frame {
  readonly payload: Uint8Array
  /** Empty when the sender did not sign. */
  readonly signature: Uint8Array
}

/** What the signature binds beside the payload: where the message goes and whose it is. */
export interface Address {
  readonly fleet: string
  readonly device: string
  /** The full topic. */
  readonly topic: string
}

const FRAME_VERSION = 1
const SIGNATURE_BYTES_MAX = 512
/** Frame, signature, and the escapes of a JSON payload inside a JSON string. */
const FRAME_BYTES_EXTRA = 1_024

export function encodeFrame(frame: Frame, form: WireForm = 'cbor'): Uint8Array {
  if (form === 'cbor') return encodeCbor([FRAME_VERSION, frame.payload, frame.signature])
  const sig = toBase64(frame.signature)
  return utf8(JSON.stringify({ payload: fromUtf8(frame.payload) ?? '', sig }))
}

/** Errors: `frame.malformed`, `frame.too_large`. */
export function openFrame(bytes: Uint8Array, payloadBytesMax: number): Result<Frame> {
  const json = formOf(bytes) === 'json'
  const bytesMax = (json ? 2 : 1) * payloadBytesMax + FRAME_BYTES_EXTRA
  if (bytes.length > bytesMax) return tooLarge(bytes.length, bytesMax)
  const frame = json ? openJson(bytes, bytesMax) : openCbor(bytes, bytesMax)
  if (frame === undefined || frame.signature.length > SIGNATURE_BYTES_MAX) {
    return refuse('frame.malformed', 'The bytes are no frame.', {
      expected: 'CBOR [1, payload, signature] or JSON {"payload": "...", "sig": "<base64>"}',
      found: `${bytes.length} bytes`,
    })
  }
  if (frame.payload.length <= payloadBytesMax) return ok(frame)
  return tooLarge(frame.payload.length, payloadBytesMax)
}

function tooLarge(bytes: number, bytesMax: number): Result<never> {
  return refuse('frame.too_large', 'The frame is too large.', {
    expected: `at most ${bytesMax} bytes`,
    found: `${bytes} bytes`,
  })
}

function openCbor(bytes: Uint8Array, bytesMax: number): Frame | undefined {
  const decoded = decodeCbor(bytes, { bytesMax, depthMax: 2, itemsMax: 4 })
  if (!decoded.ok || !Array.isArray(decoded.value) || decoded.value.length !== 3) return undefined
  const [version, payload, signature]: unknown[] = decoded.value
  if (version !== FRAME_VERSION) return undefined
  if (!(payload instanceof Uint8Array) || !(signature instanceof Uint8Array)) return undefined
  return { payload, signature }
}

function openJson(bytes: Uint8Array, bytesMax: number): Frame | undefined {
  const parsed = parseJson(bytes, { bytesMax, depthMax: 2, valuesMax: 8 })
  if (!parsed.ok || !isJsonObject(parsed.value)) return undefined
  const payload = member(parsed.value, 'payload')
  const sig = member(parsed.value, 'sig')
  const signature = typeof sig === 'string' ? fromBase64(sig) : undefined
  if (typeof payload !== 'string' || signature === undefined) return undefined
  return { payload: utf8(payload), signature }
}

/** Encodes, signs and frames; a promise only if the signer has only promises. */
export function sealMessage<K extends MessageKind>(
  kind: K,
  message: MessageOf[K],
  address: Address,
  signer: SyncSigner,
  form?: WireForm,
): Uint8Array
export function sealMessage<K extends MessageKind>(
  kind: K,
  message: MessageOf[K],
  address: Address,
  signer: Signer,
  form?: WireForm,
): Uint8Array | Promise<Uint8Array>
export function sealMessage<K extends MessageKind>(
  kind: K,
  message: MessageOf[K],
  address: Address,
  signer: Signer,
  form: WireForm = 'cbor',
): Uint8Array | Promise<Uint8Array> {
  const payload = encodeMessage(kind, message, form)
  const signature = signFrame(signer, { type: kind, ...address, payload })
  return after(signature, (bytes) => encodeFrame({ payload, signature: bytes }, form))
}

/** Errors: `frame.malformed`, `frame.too_large`, `frame.signature`, and those of `decodeMessage`. */
export function* openMessage<K extends MessageKind>(
  kind: K,
  bytes: Uint8Array,
  address: Address,
  key: PublicKey,
): Checking<Result<MessageOf[K]>> {
  const frame = openFrame(bytes, CODECS[kind].bytesMax)
  if (!frame.ok) return frame
  const { payload, signature } = frame.value
  if (!(yield* verifyFrame(key, { type: kind, ...address, payload }, signature))) {
    return refuse('frame.signature', `The ${kind} message is not signed by its sender.`, {
      expected: `a signature over ${address.topic}`,
      found: signature.length === 0 ? 'no signature' : 'one that does not hold',
    })
  }
  return decodeMessage(kind, payload)
}
