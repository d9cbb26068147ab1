/**
 * The format of an encrypted file: a header, then chunks of 64 KiB that are each authenticated, so
 * that a file can be written, resumed and read without ever being whole in memory.
 *
 *   header  `LNSEAL1\n`, salt (32), length of the plaintext (8, big-endian)
 *   chunk   nonce (12), ciphertext, tag (16); AES-256-GCM (NIST SP 800-38D)
 *   key     HKDF-SHA256 (RFC 5869) of the artifact key, the salt, and what the file is (`context`)
 *   AAD     header, number of the chunk (4, big-endian)
 *
 * Invariants: a chunk opens only in its place, in its file, under the name it was sealed for: header
 * and number are authenticated, the key is the file's own, and the length says how many chunks there
 * must be. Even an empty file has one chunk. A chunk that is written again after a crash gets another
 * random nonce; 2^15 of them (2 GiB) under one key are far below the limit of 2^32.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

export const CHUNK_BYTES = 65_536
export const HEADER_BYTES = 48
const MAGIC = Buffer.from('LNSEAL1\n', 'latin1')
const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** What sealing adds to each chunk. */
export const CHUNK_OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
const GCM = { authTagLength: TAG_BYTES } as const

export interface SealedChunks {
  readonly header: Uint8Array
  /** Bytes of the plaintext. */
  readonly length: number
  readonly count: number
  /** Bytes of the plaintext of one chunk. */
  plainBytes(index: number): number
  seal(index: number, plain: Uint8Array): Uint8Array
  /** @returns undefined when this is not what was sealed there. */
  open(index: number, sealed: Uint8Array): Uint8Array | undefined
}

/** @param context what the file is, such as `artifact <digest>`; another context is another key. */
export function newChunks(key: Uint8Array, context: string, length: number): SealedChunks {
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  randomBytes(SALT_BYTES).copy(header, MAGIC.length)
  header.writeBigUInt64BE(BigInt(length), MAGIC.length + SALT_BYTES)
  return chunksOf(key, context, header, length)
}

/** @returns undefined when the header is not one of ours. */
export function chunksFrom(
  key: Uint8Array,
  context: string,
  header: Uint8Array,
): SealedChunks | undefined {
  if (header.length !== HEADER_BYTES || !isSealed(header)) return undefined
  const kept = Buffer.from(header)
  const length = kept.readBigUInt64BE(MAGIC.length + SALT_BYTES)
  if (length > BigInt(Number.MAX_SAFE_INTEGER)) return undefined
  return chunksOf(key, context, kept, Number(length))
}

export function isSealed(start: Uint8Array): boolean {
  return MAGIC.equals(start.subarray(0, MAGIC.length))
}

/** Bytes on disk of a file whose plaintext has `length` bytes. */
export function sealedBytes(length: number): number {
  return HEADER_BYTES + chunkCount(length) * CHUNK_OVERHEAD_BYTES + length
}

function chunkCount(length: number): number {
  return Math.max(1, Math.ceil(length / CHUNK_BYTES))
}

function chunksOf(master: Uint8Array, context: string, header: Buffer, length: number) {
  const salt = header.subarray(MAGIC.length, MAGIC.length + SALT_BYTES)
  const info = `linnet sealed file v1: ${context}`
  const key = Buffer.from(hkdfSync('sha256', master, salt, info, 32))
  const count = chunkCount(length)
  const aad = (index: number): Buffer => {
    const number = Buffer.alloc(4)
    number.writeUInt32BE(index)
    return Buffer.concat([header, number])
  }
  const chunks: SealedChunks = {
    ...{ header, length, count },
    plainBytes: (index) => Math.min(CHUNK_BYTES, length - index * CHUNK_BYTES),
    seal(index, plain) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key, nonce, GCM).setAAD(aad(index))
      const body = [cipher.update(plain), cipher.final()]
      return Buffer.concat([nonce, ...body, cipher.getAuthTag()])
    },
    open(index, sealed) {
      const tagAt = sealed.length - TAG_BYTES
      if (tagAt < NONCE_BYTES) return undefined
      const nonce = sealed.subarray(0, NONCE_BYTES)
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, GCM).setAAD(aad(index))
      decipher.setAuthTag(sealed.subarray(tagAt))
      const plain = decipher.update(sealed.subarray(NONCE_BYTES, tagAt))
      try {
        decipher.final()
        return plain
      } catch {
        return undefined
      }
    },
  }
  return chunks
}
