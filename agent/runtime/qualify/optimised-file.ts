/**
 * The way of an optimised model file from the qualifier, which writes it, to its place beside the
 * qualification records, from where the host loads it. Invariants: the agent has seen the bytes whose
 * digest it signs; where artifacts are encrypted, no plain copy touches the disk.
 */
import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { artifactCipher } from '../../artifact/artifact-cipher.ts'
import { artifactContext } from '../../artifact/sealed-files.ts'
import { makeTemporaryFolder, sweepTemporaryFolders } from '../../temporary-folder.ts'
import type { Qualified } from './qualify-release.ts'

/** In memory, on Linux. */
const MEMORY_FOLDER = '/dev/shm'
const SCRATCH = 'linnet-scratch-'

/** What an agent that was killed left in memory, in plain, until somebody starts the machine anew. */
export function sweepScratch(parent = MEMORY_FOLDER): Promise<void> {
  return sweepTemporaryFolders(SCRATCH, parent)
}

/** Where ONNX Runtime, which can only write to a path, may write; undefined where it may not. */
export async function scratchPath(
  target: string,
  key: Uint8Array | undefined,
): Promise<string | undefined> {
  if (key === undefined) return `${target}.new`
  const folder = await makeTemporaryFolder(SCRATCH, MEMORY_FOLDER).catch(() => undefined)
  return folder && join(folder, 'optimised')
}

/** Puts a kept file in its place, sealed where artifacts are. @returns whether it is there now. */
export async function takeFile(
  scratch: string,
  target: string,
  { sha256 }: NonNullable<Qualified['optimised']>,
  key: Uint8Array | undefined,
): Promise<boolean> {
  try {
    const bytes = await readFile(scratch)
    if (createHash('sha256').update(bytes).digest('hex') !== sha256) return false
    await artifactCipher(key).seal(target, bytes, artifactContext(sha256))
    return true
  } catch {
    return false
  }
}

/** Whatever became of it. */
export async function dropScratch(scratch: string, key: Uint8Array | undefined): Promise<void> {
  const path = key === undefined ? scratch : dirname(scratch)
  await rm(path, { recursive: true, force: true })
}
