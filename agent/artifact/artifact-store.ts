/**
 * Artifacts on disk, named by their SHA-256; a download that stopped goes on where it stopped.
 *
 * Invariants: a file has its final name only after all its bytes were hashed and the digest held;
 * never more than the signed length is written; the folder stays within `bytesMax`, partial files
 * included. Who may name artifacts is the verified metadata's; what is still needed is the caller's;
 * whether the bytes lie there as they are or encrypted is artifact-files.ts's.
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { err, ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import { syncFolder } from '../../shared/node/atomic-file.ts'
import { diskProblem } from '../disk-watch.ts'
import type { ArtifactStore } from '../ports.ts'
import { type ArtifactFiles, type PartFile, plainFiles } from './artifact-files.ts'
import { type RetrievalLimits, receiveRange } from './http-range.ts'

export interface ArtifactStoreOptions {
  readonly folder: string
  /** Disk that artifacts may take together. */
  readonly bytesMax: number
  readonly retrieval: RetrievalLimits
  /** Absent: as they are. */
  readonly files?: ArtifactFiles
}

/** Ends the name of a file that is still being downloaded. */
export const PART = '.part'
export const DIGEST = /^[0-9a-f]{64}$/

export function createArtifactStore(options: ArtifactStoreOptions): ArtifactStore {
  const { folder, bytesMax, files = plainFiles } = options
  const pathOf = (sha256: string): string => join(folder, sha256)

  async function fetchOnce(
    artifact: Artifact,
    url: string,
    signal: AbortSignal,
  ): Promise<Result<undefined>> {
    const part = `${pathOf(artifact.sha256)}${PART}`
    const file = await files.openPart(part, artifact)
    try {
      const received = await download(file, artifact, url, signal)
      if (!received.ok) return received
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(part, pathOf(artifact.sha256))
    await syncFolder(folder)
    return ok()
  }

  async function download(
    file: PartFile,
    artifact: Artifact,
    url: string,
    signal: AbortSignal,
  ): Promise<Result<undefined>> {
    let hash = createHash('sha256')
    const have = await file.resume(hash)
    if (have < artifact.length) {
      const received = await receiveRange(
        { url, from: have, length: artifact.length, limits: options.retrieval, signal },
        {
          async restart() {
            await file.restart()
            hash = createHash('sha256')
          },
          async take(chunk) {
            await file.append(chunk)
            hash.update(chunk)
          },
        },
      )
      if (!received.ok) return received
    }
    const found = hash.digest('hex')
    if (found === artifact.sha256) return ok()
    await file.restart()
    return refuseDigest(artifact, found)
  }

  return {
    async fetch(artifact, url, signal) {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      if (await files.isWhole(pathOf(artifact.sha256), artifact)) return ok()
      const room = await roomFor(artifact, folder, bytesMax, files)
      if (!room.ok) return room
      const first = await fetchOnce(artifact, url, signal).catch(cannotStore)
      if (first.ok || first.error.code !== 'artifact.digest') return first
      // A resumed file may have begun with another one's bytes: once more, from the beginning.
      return fetchOnce(artifact, url, signal).catch(cannotStore)
    },
    async read(sha256, lengthMax) {
      const bytes = await files.read(pathOf(sha256), sha256, lengthMax)
      if (bytes === undefined) {
        return refuse('artifact.missing', `The artifact ${sha256.slice(0, 12)} is not here.`)
      }
      const found = bytes === 'damaged' ? bytes : createHash('sha256').update(bytes).digest('hex')
      if (found === sha256 && bytes !== 'damaged') return ok(bytes)
      return refuse('artifact.digest', 'The file on disk is not the one that was verified.', {
        expected: sha256,
        found,
        next: 'check the disk',
      })
    },
    path: (sha256) => (DIGEST.test(sha256) ? pathOf(sha256) : undefined),
    async collectGarbage(keep) {
      for (const name of await listFiles(folder)) {
        const digest = name.endsWith(PART) ? name.slice(0, -PART.length) : name
        if (DIGEST.test(digest) && !keep.has(digest)) await rm(join(folder, name), { force: true })
      }
    },
  }
}

function refuseDigest(artifact: Artifact, found: string): Result<never> {
  return refuse('artifact.digest', `${artifact.file} is not the file that was signed.`, {
    expected: artifact.sha256,
    found,
    next: 'attack: arbitrary software; check the artifact server and what lies between',
  })
}

async function roomFor(
  artifact: Artifact,
  folder: string,
  bytesMax: number,
  files: ArtifactFiles,
): Promise<Result<undefined>> {
  const sizes = await Promise.all(
    (await listFiles(folder))
      .filter((name) => !name.startsWith(artifact.sha256))
      .map((name) =>
        stat(join(folder, name))
          .then(({ size }) => size)
          .catch(() => 0),
      ),
  )
  const used = sizes.reduce((sum, size) => sum + size, 0)
  if (used + files.diskBytes(artifact.length) <= bytesMax) return ok()
  return refuse('artifact.no_room', `There is no room for ${artifact.file}.`, {
    expected: `at most ${bytesMax} bytes of artifacts`,
    found: `${used} bytes used, ${artifact.length} asked`,
    next: 'raise the disk limit of the profile, or assign fewer releases',
  })
}

async function listFiles(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => [])
}

function cannotStore(cause: unknown): Result<never> {
  const known = diskProblem(cause)
  if (known !== undefined) return err(known)
  const message = cause instanceof Error ? cause.message : String(cause)
  return refuse('disk.write', 'The artifact cannot be stored.', { found: message })
}
