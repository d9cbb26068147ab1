/**
 * Artifacts in a folder. Each is written beside, hashed on the way, made durable and then renamed,
 * so that a crash leaves no half file under a digest.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { readFileBounded, syncFolder } from '../../shared/node/atomic-file.ts'
import { BLOB_BYTES_MAX, type Blobs } from './blobs.ts'

/** Also removes what an interrupted upload left. */
export async function openFileBlobs(folder: string): Promise<Blobs> {
  const incoming = join(folder, 'incoming')
  await mkdir(incoming, { recursive: true })
  for (const left of await readdir(incoming)) await rm(join(incoming, left), { force: true })
  const pathOf = (sha256: string): string => join(folder, sha256.slice(0, 2), sha256)

  return {
    async put(sha256, body) {
      const temporary = join(incoming, randomBytes(8).toString('hex'))
      try {
        const written = await writeHashed(temporary, body, sha256)
        if (!written.ok) return written
        const path = pathOf(sha256)
        await mkdir(dirname(path), { recursive: true })
        await rename(temporary, path)
        await syncFolder(dirname(path))
        return written
      } finally {
        await rm(temporary, { force: true })
      }
    },
    length: (sha256) => lengthOf(pathOf(sha256)),
    async read(sha256, bytesMax) {
      const length = await lengthOf(pathOf(sha256))
      if (length === undefined || length > bytesMax) return undefined
      return readFileBounded(pathOf(sha256), bytesMax)
    },
    open(sha256, start, end) {
      if (end <= start) return new Blob([]).stream()
      const stream = createReadStream(pathOf(sha256), { start, end: end - 1 })
      return Readable.toWeb(stream) as ReadableStream<Uint8Array>
    },
  }
}

async function writeHashed(
  path: string,
  body: AsyncIterable<Uint8Array>,
  sha256: string,
): Promise<Result<{ length: number }>> {
  const hash = createHash('sha256')
  let length = 0
  const file = await open(path, 'wx', 0o644)
  try {
    for await (const chunk of body) {
      length += chunk.length
      if (length > BLOB_BYTES_MAX) {
        return refuse('artifact.too_large', 'The artifact is too large.', {
          expected: `at most ${BLOB_BYTES_MAX} bytes`,
        })
      }
      hash.update(chunk)
      await file.write(chunk)
    }
    await file.sync()
  } finally {
    await file.close()
  }
  const found = hash.digest('hex')
  if (found === sha256) return ok({ length })
  return refuse('artifact.digest', 'The bytes have another digest than their name.', {
    expected: sha256,
    found,
    next: 'send the file again',
  })
}

async function lengthOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  }
}
