/**
 * How the bytes of artifacts lie on the disk: as they are, or sealed (sealed-files.ts). The store
 * above knows only this.
 */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import type { Artifact } from '../../shared/model/manifest.ts'
import { readFileBounded } from '../../shared/node/atomic-file.ts'

export interface ArtifactFiles {
  /** A file that is being downloaded, made if missing. */
  openPart(path: string, artifact: Artifact): Promise<PartFile>
  /**
   * The plaintext of a whole file; undefined when there is none, `damaged` when it cannot be opened.
   * @throws ProblemError `file.too_large` when it is longer than `lengthMax`.
   */
  read(path: string, sha256: string, lengthMax: number): Promise<Uint8Array | undefined | 'damaged'>
  /** Whether a whole and right file is there; reads it once, piece by piece. */
  isWhole(path: string, artifact: Artifact): Promise<boolean>
  /** What an artifact of so many bytes takes on the disk. */
  diskBytes(length: number): number
}

export interface PartFile {
  /** Hashes what an earlier attempt left and cuts off what cannot be used. @returns its length. */
  resume(hash: Hash): Promise<number>
  restart(): Promise<void>
  append(chunk: Uint8Array): Promise<void>
  /** Everything that was appended survives a power cut. */
  sync(): Promise<void>
  close(): Promise<void>
}

const READ_BYTES = 262_144

export const plainFiles: ArtifactFiles = {
  async openPart(path, { length }) {
    const file = await open(path, 'a+', 0o600)
    return {
      resume: (hash) => hashPart(file, length, hash),
      restart: () => file.truncate(0),
      append: (chunk) => file.appendFile(chunk),
      sync: () => file.sync(),
      close: () => file.close(),
    }
  },
  read: (path, _, lengthMax) => readFileBounded(path, lengthMax),
  diskBytes: (length) => length,
  async isWhole(path, artifact) {
    const size = await stat(path).then(
      (found) => found.size,
      () => -1,
    )
    if (size !== artifact.length) return false
    const hash = createHash('sha256')
    for await (const chunk of createReadStream(path)) hash.update(chunk)
    return hash.digest('hex') === artifact.sha256
  },
}

/** What is longer than the file ever was starts anew. */
async function hashPart(file: FileHandle, length: number, hash: Hash): Promise<number> {
  const { size } = await file.stat()
  if (size > length) {
    await file.truncate(0)
    return 0
  }
  const chunk = new Uint8Array(READ_BYTES)
  let position = 0
  while (position < size) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position)
    if (bytesRead === 0) break
    hash.update(chunk.subarray(0, bytesRead))
    position += bytesRead
  }
  return position
}
