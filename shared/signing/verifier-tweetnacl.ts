/**
 * Ed25519 in plain JavaScript, for browsers without WebCrypto Ed25519 and for plain-HTTP pages.
 * About 5 ms for one verification; other schemes are never valid here. Signing is for tests, tools
 * and browsers that lack WebCrypto keys; random key material comes from the caller.
 */
import nacl from 'tweetnacl'
import { assert } from '../kernel/assert.ts'
import { toHex } from '../kernel/bytes.ts'
import { ed25519PublicBytes, isEd25519Signature } from './ed25519-encoding.ts'
import { ed25519Key, type SyncSigner, type SyncVerifier } from './keys.ts'

export const tweetnaclVerifier: SyncVerifier = {
  verify(key, message, signature) {
    const publicBytes = ed25519PublicBytes(key)
    if (publicBytes === undefined || !isEd25519Signature(signature)) return false
    return nacl.sign.detached.verify(message, signature, publicBytes)
  },
}

/** @param seed 32 secret bytes (the private key of RFC 8032). */
export function tweetnaclSigner(seed: Uint8Array): SyncSigner {
  assert(seed.length === 32, 'an Ed25519 seed has 32 bytes')
  const pair = nacl.sign.keyPair.fromSeed(seed)
  return {
    key: ed25519Key(toHex(pair.publicKey)),
    sign: (message) => nacl.sign.detached(message, pair.secretKey),
  }
}
