/**
 * Whatever of a model a process keeps on the disk goes through this port: with the device's artifact
 * key it is sealed, without one it lies there as it is. Processes get the key over IPC (the model
 * host with its plan, the qualifier with its task), never by argument or environment.
 */
import { createHash } from 'node:crypto'
import { ok, type Result, refuse, toProblem } from '../../shared/kernel/result.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { artifactContext, readSealed, writeSealed } from './sealed-files.ts'

export interface ArtifactCipher {
  /**
   * Replaces the file whole.
   * @param context what the file is: it opens under no other, so it cannot stand in for another file
   */
  seal(path: string, bytes: Uint8Array, context: string): Promise<void>
  /**
   * The plaintext, in one buffer; undefined when there is no file, `damaged` when it cannot be opened.
   * Without a key whoever opens must check what was read.
   * @throws ProblemError `file.too_large`
   */
  open(path: string, context: string, lengthMax: number): Promise<Opened>
}

type Opened = Uint8Array | undefined | 'damaged'

const PLAIN: ArtifactCipher = {
  seal: (path, bytes) => writeFileAtomic(path, bytes, { mode: 0o600 }),
  open: (path, _, lengthMax) => readFileBounded(path, lengthMax),
}

export function artifactCipher(key: Uint8Array | undefined): ArtifactCipher {
  if (key === undefined) return PLAIN
  return {
    seal: (path, bytes, context) => writeSealed(path, bytes, key, context),
    open: (path, context, lengthMax) => readSealed(path, key, context, lengthMax),
  }
}

/**
 * An artifact for whoever loads it: the buffer that comes back is the one that was hashed.
 * Errors: `artifact.missing`, `artifact.digest`, `runtime.no_memory`.
 */
export async function readArtifact(
  path: string,
  { sha256, length }: Pick<Artifact, 'sha256' | 'length'>,
  key: Uint8Array | undefined,
): Promise<Result<Uint8Array>> {
  const opened = await artifactCipher(key)
    .open(path, artifactContext(sha256), length)
    .catch((cause: unknown) => {
      const { code, message } = toProblem(cause, 'artifact.missing')
      if (isNoMemory(cause)) return noMemory(message)
      return code === 'file.too_large' ? 'damaged' : missing(message)
    })
  if (opened === undefined) return missing(path)
  if (opened === 'damaged') return changed(sha256, 'a file that was changed, or is another one')
  if (!(opened instanceof Uint8Array)) return opened
  const found = createHash('sha256').update(opened).digest('hex')
  return found === sha256 ? ok(opened) : changed(sha256, found)
}

function missing(found: string): Result<never> {
  return refuse('artifact.missing', 'An artifact cannot be read.', { found: found.slice(0, 300) })
}

/** The file may be well: fetching it again would help nobody. */
function noMemory(found: string): Result<never> {
  return refuse('runtime.no_memory', 'The system gives no memory to read an artifact.', {
    found: found.slice(0, 300),
  })
}

function isNoMemory(cause: unknown): boolean {
  if (cause instanceof RangeError) return true
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  return code === 'ENOMEM' || code === 'ERR_MEMORY_ALLOCATION_FAILED'
}

function changed(expected: string, found: string): Result<never> {
  return refuse('artifact.digest', 'An artifact on this device is not the one that was signed.', {
    ...{ expected, found, next: 'the agent fetches it again' },
  })
}
