/**
 * Verifying Ed25519 in plain JavaScript, for browsers whose WebCrypto has none and for pages without a
 * secure context, which have no WebCrypto. Same verdicts as the others; tweetnacl verifies too, but a
 * cold start of 33 signatures takes 490 ms with it and 15 ms with this.
 */
import { ed25519 } from '@noble/curves/ed25519.js'
import { ed25519PublicBytes, isEd25519Signature } from './ed25519-encoding.ts'
import type { SyncVerifier } from './keys.ts'

/** RFC 8032 as the others read it, not ZIP 215, which takes keys of several encodings. */
const STRICT = { zip215: false } as const

export const nobleVerifier: SyncVerifier = {
  verify(key, message, signature) {
    const publicBytes = ed25519PublicBytes(key)
    if (publicBytes === undefined || !isEd25519Signature(signature)) return false
    try {
      return ed25519.verify(signature, message, publicBytes, STRICT)
    } catch {
      return false
    }
  },
}
