/**
 * Signing with Ed25519 in plain JavaScript, for pages without WebCrypto keys and for tests. TweetNaCl
 * is small and takes the same time whatever the key; its few milliseconds are paid once for each
 * message that a device sends. Verifying, of which a cold start does dozens, is verifier-noble's.
 * Whoever runs code on the page can read such a key; random key material comes from the caller.
 */
import nacl from 'tweetnacl'
import { assert } from '../kernel/assert.ts'
import { toHex } from '../kernel/bytes.ts'
import { ed25519Key, type SyncSigner } from './keys.ts'

/** @param seed 32 secret bytes (the private key of RFC 8032). */
export function tweetnaclSigner(seed: Uint8Array): SyncSigner {
  assert(seed.length === 32, 'an Ed25519 seed has 32 bytes')
  const pair = nacl.sign.keyPair.fromSeed(seed)
  return {
    key: ed25519Key(toHex(pair.publicKey)),
    sign: (message) => nacl.sign.detached(message, pair.secretKey),
  }
}
