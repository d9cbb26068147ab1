/**
 * Ed25519 in plain JavaScript, for browsers whose WebCrypto has none and for pages without a secure
 * context, which have no WebCrypto. Same bytes and same verdicts as the others; slower, and keys it
 * signs with can be read by whoever runs code on the page.
 */
import { ed25519 } from '@noble/curves/ed25519.js'
import { assert } from '../kernel/assert.ts'
import { toHex } from '../kernel/bytes.ts'
import { ed25519PublicBytes, isEd25519Signature } from './ed25519-encoding.ts'
import { ed25519Key, type SyncSigner, type SyncVerifier } from './keys.ts'

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

/** @param seed 32 secret bytes (the private key of RFC 8032). */
export function nobleSigner(seed: Uint8Array): SyncSigner {
  assert(seed.length === 32, 'an Ed25519 seed has 32 bytes')
  return {
    key: ed25519Key(toHex(ed25519.getPublicKey(seed))),
    sign: (message) => ed25519.sign(message, seed),
  }
}
