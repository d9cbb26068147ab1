/** Artifacts in memory, for simulation and tests: the same contract. */
import { concatBytes } from '../../shared/kernel/bytes.ts'
import { ok, refuse } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { Blobs } from './blobs.ts'

export function createMemoryBlobs(): Blobs {
  const blobs = new Map<string, Uint8Array>()
  return {
    async put(sha256, body) {
      const chunks: Uint8Array[] = []
      for await (const chunk of body) chunks.push(chunk)
      const bytes = concatBytes(...chunks)
      const found = sha256Hex(bytes)
      if (found !== sha256) {
        return refuse('artifact.digest', 'The bytes have another digest than their name.', {
          expected: sha256,
          found,
        })
      }
      blobs.set(sha256, bytes)
      return ok({ length: bytes.length })
    },
    length: async (sha256) => blobs.get(sha256)?.length,
    async read(sha256, bytesMax) {
      const bytes = blobs.get(sha256)
      return bytes !== undefined && bytes.length <= bytesMax ? bytes : undefined
    },
    open: (sha256, start, end) =>
      new Blob([new Uint8Array(blobs.get(sha256)?.subarray(start, end) ?? [])]).stream(),
  }
}
