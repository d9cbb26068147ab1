/**
 * A TUF client's files on Node: trusted metadata in a folder (`root.json`, `timestamp.json`, ...),
 * new ones over HTTP, targets streamed to disk and hashed on the way. Invariant: a target has its
 * final name only once its length and hashes are those that were signed.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ok, type Result, refuse } from '../kernel/result.ts'
import type { Verifier } from '../signing/keys.ts'
import type { TufPorts } from '../signing/tuf/effects.ts'
import { roleFileName } from '../signing/tuf/store-layout.ts'
import type { TargetFile } from '../signing/tuf/target-file.ts'
import { readFileBounded, syncFolder, writeFileAtomic } from './atomic-file.ts'
import { type DownloadLimits, download, fetchBounded } from './http-download.ts'

const STORED_BYTES_MAX = 16_777_216
const METADATA_DEADLINE_MS = 60_000
const BYTES_PER_SECOND_MIN = 64
/** A large model over a slow line still gets its time: a minute, and one second per 16 KiB. */
const TARGET_BYTES_PER_SECOND = 16_384
const HASHES: readonly string[] = ['sha256', 'sha512']

/** @param metadataUrl base URL of the metadata; a slash at its end makes no difference. */
export function createTufFiles(
  metadataDir: string,
  metadataUrl: string,
  verifier: Verifier,
): TufPorts {
  const fileOf = (role: string): string => join(metadataDir, roleFileName(role))
  const limits = { deadlineMs: METADATA_DEADLINE_MS, bytesPerSecondMin: BYTES_PER_SECOND_MIN }
  return {
    verifier,
    load: (role) => readFileBounded(fileOf(role), STORED_BYTES_MAX),
    fetch: (path, bytesMax) => fetchBounded(joinUrl(metadataUrl, path), { ...limits, bytesMax }),
    persist: (role, bytes) => writeFileAtomic(fileOf(role), bytes),
    async forget(role) {
      await rm(fileOf(role), { force: true })
      await syncFolder(metadataDir)
    },
  }
}

export function joinUrl(base: string, path: string): string {
  return `${base.replace(/\/+$/, '')}/${path}`
}

/** True when the file is there with the signed length and hashes. */
export async function hasTarget(path: string, file: TargetFile): Promise<boolean> {
  const check = createTargetCheck(file)
  try {
    for await (const chunk of createReadStream(path)) {
      check.update(chunk)
      if (check.length() > file.length) return false
    }
  } catch {
    return false
  }
  return check.finish().ok
}

/**
 * Downloads and verifies a target (clause 5.7.3) into `folder/name`, replacing what was there.
 * Codes: `tuf.endless_data`, `.slow_retrieval`, `.unavailable`, `.mix_and_match`, `.malformed`.
 */
export async function downloadTarget(
  url: string,
  file: TargetFile,
  folder: string,
  name: string,
): Promise<Result<undefined>> {
  await mkdir(folder, { recursive: true })
  const temporary = join(folder, `.${randomBytes(6).toString('hex')}.part`)
  const handle = await open(temporary, 'wx')
  try {
    const received = await receive(url, file, handle)
    if (!received.ok) return received
    await handle.sync()
    await rename(temporary, join(folder, name))
    await syncFolder(folder)
    return ok()
  } finally {
    await handle.close()
    await rm(temporary, { force: true })
  }
}

async function receive(
  url: string,
  file: TargetFile,
  handle: FileHandle,
): Promise<Result<undefined>> {
  const check = createTargetCheck(file)
  const limits: DownloadLimits = {
    bytesMax: file.length,
    deadlineMs: METADATA_DEADLINE_MS + (1000 * file.length) / TARGET_BYTES_PER_SECOND,
    bytesPerSecondMin: BYTES_PER_SECOND_MIN,
  }
  const outcome = await download(url, limits, async (chunk) => {
    check.update(chunk)
    await handle.write(chunk)
  })
  if (outcome.kind === 'failed') return { ok: false, error: outcome.problem }
  if (outcome.kind === 'absent') return refuse('tuf.unavailable', `There is no ${url}.`)
  return check.finish()
}

/** Streams what `checkFile` of shared/signing does for small files, with fast hashes. */
function createTargetCheck(file: TargetFile): {
  update(chunk: Uint8Array): void
  length(): number
  finish(): Result<undefined>
} {
  const known = [...file.hashes].filter(([algorithm]) => HASHES.includes(algorithm))
  const hashes = known.map(([algorithm, expected]) => ({
    expected: expected.toLowerCase(),
    hash: createHash(algorithm),
  }))
  let length = 0
  return {
    update(chunk) {
      length += chunk.length
      for (const { hash } of hashes) hash.update(chunk)
    },
    length: () => length,
    finish() {
      if (hashes.length === 0) {
        return refuse('tuf.malformed', 'None of the hashes of the target can be checked.')
      }
      const same = hashes.every(({ expected, hash }) => hash.digest('hex') === expected)
      if (same && length === file.length) return ok()
      return refuse('tuf.mix_and_match', 'The target is not the file that was signed.', {
        expected: `${file.length} bytes with ${known.map((pair) => pair.join(' ')).join(', ')}`,
        found: `${length} bytes${same ? '' : ' with other hashes'}`,
      })
    },
  }
}
