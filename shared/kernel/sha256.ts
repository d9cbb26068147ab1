/** SHA-256, the only digest Linnet names files by. Pure; shells may use a faster native one. */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { toHex, utf8 } from './bytes.ts'

/** 64 lower-case hexadecimal digits. */
export function sha256Hex(data: Uint8Array | string): string {
  return toHex(sha256(data))
}

/** 32 bytes. */
export function sha256(data: Uint8Array | string): Uint8Array {
  return nobleSha256(typeof data === 'string' ? utf8(data) : data)
}

/** Incremental form, for verifying while streaming. */
export interface Sha256 {
  update(chunk: Uint8Array): void
  digestHex(): string
}

export function createSha256(): Sha256 {
  const hash = nobleSha256.create()
  return {
    update: (chunk) => void hash.update(chunk),
    digestHex: () => toHex(hash.digest()),
  }
}
