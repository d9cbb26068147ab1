/**
 * Sealed files on the disk (format: sealed-format.ts): written and resumed chunk by chunk, read whole
 * or piece by piece. Invariant: no plaintext is ever written, and none is given out that was not
 * authenticated. Where the key comes from is artifact-key.ts's.
 */

import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { ProblemError } from '../../shared/kernel/result.ts'
import { openIfThere, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import type { ArtifactFiles, PartFile } from './artifact-files.ts'
import {
  CHUNK_BYTES,
  CHUNK_OVERHEAD_BYTES,
  chunksFrom,
  HEADER_BYTES,
  newChunks,
  type SealedChunks,
  sealedBytes,
} from './sealed-format.ts'

const SEALED_CHUNK_BYTES = CHUNK_BYTES + CHUNK_OVERHEAD_BYTES
/** A mebibyte at once: a read for each chunk took more time than opening it. */
const CHUNKS_PER_READ = 16

/** Artifacts are bound to their digest, partial or whole: one cannot stand in for another. */
export const artifactContext = (sha256: string): string => `artifact ${sha256}`

export function sealedFiles(key: Uint8Array): ArtifactFiles {
  return {
    async openPart(path, { sha256, length }) {
      const file = await open(path, 'a+', 0o600)
      return createSealedPart(file, key, artifactContext(sha256), length)
    },
    diskBytes: sealedBytes,
    read: (path, sha256, lengthMax) => readSealed(path, key, artifactContext(sha256), lengthMax),
    async isWhole(path, { sha256, length }) {
      const hash = createHash('sha256')
      const file = await openIfThere(path)
      if (file === undefined) return false
      try {
        const chunks = await wholeChunks(file, key, artifactContext(sha256))
        if (chunks?.length !== length) return false
        const opened = await openChunks(file, chunks, (plain) => hash.update(plain))
        return opened === chunks.count && hash.digest('hex') === sha256
      } finally {
        await file.close()
      }
    },
  }
}

/**
 * The plaintext of a whole sealed file; undefined when there is no file, `damaged` when it was cut,
 * changed, put together or sealed as something else.
 * @throws ProblemError `file.too_large`
 */
export async function readSealed(
  path: string,
  key: Uint8Array,
  context: string,
  lengthMax: number,
): Promise<Uint8Array | undefined | 'damaged'> {
  const file = await openIfThere(path)
  if (file === undefined) return undefined
  try {
    const chunks = await wholeChunks(file, key, context)
    if (chunks === undefined) return 'damaged'
    if (chunks.length > lengthMax) {
      throw new ProblemError({
        code: 'file.too_large',
        message: `The file ${path} is too large.`,
        expected: `at most ${lengthMax} bytes`,
        found: `${chunks.length} bytes`,
      })
    }
    const bytes = Buffer.allocUnsafeSlow(chunks.length)
    let position = 0
    const opened = await openChunks(file, chunks, (plain) => {
      bytes.set(plain, position)
      position += plain.length
    })
    return opened === chunks.count ? bytes : 'damaged'
  } finally {
    await file.close()
  }
}

/** Seals bytes that are in memory; the file is the old or the new one, whenever the power goes. */
export async function writeSealed(
  path: string,
  bytes: Uint8Array,
  key: Uint8Array,
  context: string,
): Promise<void> {
  const chunks = newChunks(key, context, bytes.length)
  const pieces: Uint8Array[] = [chunks.header]
  for (let i = 0; i < chunks.count; i++) {
    pieces.push(chunks.seal(i, bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES)))
  }
  await writeFileAtomic(path, Buffer.concat(pieces), { mode: 0o600 })
}

/** @returns undefined when header and size do not belong together: cut, lengthened, or not ours. */
async function wholeChunks(
  file: FileHandle,
  key: Uint8Array,
  context: string,
): Promise<SealedChunks | undefined> {
  const chunks = chunksFrom(key, context, await readAt(file, 0, HEADER_BYTES))
  const { size } = await file.stat()
  return chunks !== undefined && sealedBytes(chunks.length) === size ? chunks : undefined
}

/** Opens chunks in order as long as they are right. @returns how many. */
async function openChunks(
  file: FileHandle,
  chunks: SealedChunks,
  take: (plain: Uint8Array) => void,
): Promise<number> {
  const piece = Buffer.allocUnsafeSlow(Math.min(chunks.count, CHUNKS_PER_READ) * SEALED_CHUNK_BYTES)
  for (let first = 0; first < chunks.count; first += CHUNKS_PER_READ) {
    const read = await readInto(piece, file, HEADER_BYTES + first * SEALED_CHUNK_BYTES)
    for (let i = 0; i < CHUNKS_PER_READ && first + i < chunks.count; i++) {
      const start = i * SEALED_CHUNK_BYTES
      const end = start + chunks.plainBytes(first + i) + CHUNK_OVERHEAD_BYTES
      const plain = end <= read ? chunks.open(first + i, piece.subarray(start, end)) : undefined
      if (plain === undefined) return first + i
      take(plain)
    }
  }
  return chunks.count
}

/** At most one chunk of plaintext waits in memory; a crash costs that chunk. */
function createSealedPart(
  file: FileHandle,
  key: Uint8Array,
  context: string,
  length: number,
): PartFile {
  const waiting = new Uint8Array(CHUNK_BYTES)
  let waitingBytes = 0
  let next = 0
  let chunks: SealedChunks | undefined

  async function restart(): Promise<SealedChunks> {
    await file.truncate(0)
    chunks = newChunks(key, context, length)
    next = 0
    waitingBytes = 0
    await file.appendFile(chunks.header)
    return chunks
  }

  return {
    async resume(hash: Hash) {
      const found = chunksFrom(key, context, await readAt(file, 0, HEADER_BYTES))
      if (found === undefined || found.length !== length) {
        await restart()
        return 0
      }
      chunks = found
      let have = 0
      next = await openChunks(file, found, (plain) => {
        hash.update(plain)
        have += plain.length
      })
      // Whatever follows was torn by a crash, or never ours.
      await file.truncate(HEADER_BYTES + next * CHUNK_OVERHEAD_BYTES + have)
      return have
    },
    restart: async () => void (await restart()),
    async append(chunk) {
      const sealing = chunks ?? (await restart())
      let taken = 0
      while (taken < chunk.length && next < sealing.count) {
        const wanted = sealing.plainBytes(next)
        const piece = chunk.subarray(taken, taken + wanted - waitingBytes)
        waiting.set(piece, waitingBytes)
        taken += piece.length
        waitingBytes += piece.length
        if (waitingBytes < wanted) return
        await file.appendFile(sealing.seal(next, waiting.subarray(0, wanted)))
        next += 1
        waitingBytes = 0
      }
    },
    sync: () => file.sync(),
    close: () => file.close(),
  }
}

async function readAt(file: FileHandle, position: number, bytes: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(bytes)
  return buffer.subarray(0, await readInto(buffer, file, position))
}

/** @returns how many bytes there were, up to the length of the buffer. */
async function readInto(buffer: Buffer, file: FileHandle, position: number): Promise<number> {
  let read = 0
  while (read < buffer.length) {
    const { bytesRead } = await file.read(buffer, read, buffer.length - read, position + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return read
}
