/**
 * What makes an Ed25519 signature well formed (RFC 8032 clause 5.1.7), checked before any library
 * is asked, so that all verifiers give the same verdict: some would accept S + L.
 */
import { fromHex } from '../kernel/bytes.ts'
import type { PublicKey } from './keys.ts'

/** L = 2^252 + 27742317777372353535851937790883648493, big-endian. */
const ORDER = fromHex('1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed')!

/** 32 bytes, or undefined when `key` is not an Ed25519 key. */
export function ed25519PublicBytes(key: PublicKey): Uint8Array | undefined {
  if (key.keytype !== 'ed25519' || key.scheme !== 'ed25519') return undefined
  const bytes = fromHex(key.keyval.public)
  return bytes?.length === 32 ? bytes : undefined
}

/** 64 bytes whose second half, little-endian, is below the group's order. */
export function isEd25519Signature(signature: Uint8Array): boolean {
  if (signature.length !== 64) return false
  for (let i = 0; i < 32; i++) {
    const digit = signature[63 - i]!
    const limit = ORDER[i]!
    if (digit !== limit) return digit < limit
  }
  return false
}
