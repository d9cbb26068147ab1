/**
 * The port to artifacts, files named by their SHA-256. Contract (test/contract/blobs.contract.ts):
 * a name is there only when all its bytes are, and they have that digest.
 */
import type { Result } from '../../shared/kernel/result.ts'

export interface Blobs {
  /** Hashes while storing. Errors: `artifact.digest`, `artifact.too_large`. */
  put(sha256: string, body: AsyncIterable<Uint8Array>): Promise<Result<{ length: number }>>
  /** @returns undefined when it is not there. */
  length(sha256: string): Promise<number | undefined>
  /** @returns undefined when it is not there or longer than `bytesMax`. */
  read(sha256: string, bytesMax: number): Promise<Uint8Array | undefined>
  /** Bytes from `start` up to, not including, `end` of one that is there. */
  open(sha256: string, start: number, end: number): ReadableStream<Uint8Array>
}

/** The largest model that protobuf allows. */
export const BLOB_BYTES_MAX = 2 ** 31 - 1
