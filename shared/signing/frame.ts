/**
 * Signed frames: every message between device and controller. The signature covers what the message
 * is and where it goes, not the payload alone, so that a broker can neither move it to another
 * topic or device nor pass a report off as telemetry. How a frame is encoded (CBOR, JSON) is left
 * to the protocol.
 */
import { concatBytes, utf8 } from '../kernel/bytes.ts'
import { type Checking, type PublicKey, verified } from './keys.ts'

export interface FrameParts {
  /** Message type, for example `telemetry`. */
  readonly type: string
  readonly fleet: string
  readonly device: string
  /** The full topic it is published on. */
  readonly topic: string
  /** The payload bytes as sent. */
  readonly payload: Uint8Array
}

const DOMAIN = 'linnet/frame/1'

/**
 * The exact bytes that are signed: each part preceded by its length (4 bytes, big-endian), so that
 * no two different frames have the same bytes. They start with a zero byte and can be neither JSON
 * nor a JWT.
 */
export function frameMessageBytes(parts: FrameParts): Uint8Array {
  const { type, fleet, device, topic, payload } = parts
  const texts = [DOMAIN, type, fleet, device, topic].map(utf8)
  return concatBytes(...[...texts, payload].flatMap((bytes) => [lengthOf(bytes), bytes]))
}

function lengthOf(bytes: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(4)
  new DataView(prefix.buffer).setUint32(0, bytes.length)
  return prefix
}

/** The signature, or its promise if the signer has only promises. */
export function signFrame<S>(signer: { sign(message: Uint8Array): S }, parts: FrameParts): S {
  return signer.sign(frameMessageBytes(parts))
}

export function verifyFrame(
  key: PublicKey,
  parts: FrameParts,
  signature: Uint8Array,
): Checking<boolean> {
  return verified(key, frameMessageBytes(parts), signature)
}
