/**
 * The black box of the model host: a few bytes in a file that say which release runs right now. They
 * survive the process, so after a crash or a hang the control process knows whom to blame, and that it
 * was nobody when no run was under way. A write costs about 1.3 us, runs of one turn share two.
 * A home that takes no writes gets no black box, and nobody is blamed: a device whose disk fails goes
 * on serving what it has, and takes nothing new whose fault a crash could be.
 */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { ProblemError } from '../../../shared/kernel/result.ts'
import { diskProblem } from '../../disk-watch.ts'

export interface RunMark {
  set(sha256: string | null): void
  close(): void
}

const BYTES = 64
const IDLE = Buffer.alloc(BYTES, '-')

const NO_MARK: RunMark = { set: () => undefined, close: () => undefined }

/** Errors (thrown): `disk.*` where the disk has no room even for this. */
export function openRunMark(path: string): RunMark {
  const file = openNew(path)
  if (file === undefined) return NO_MARK
  let last: string | null = null
  let [known, bytes] = ['', IDLE]
  return {
    set(sha256) {
      if (sha256 === last) return
      last = sha256
      if (sha256 !== null && sha256 !== known) [known, bytes] = [sha256, Buffer.from(sha256)]
      writeSync(file, sha256 === null ? IDLE : bytes, 0, BYTES, 0)
    },
    close: () => closeSync(file),
  }
}

/** @returns undefined where nothing can be written at all. */
function openNew(path: string): number | undefined {
  try {
    const file = openSync(path, 'w', 0o600)
    writeSync(file, IDLE, 0, BYTES, 0)
    return file
  } catch (cause) {
    const problem = diskProblem(cause)
    if (problem === undefined) throw cause
    if (problem.code === 'disk.read_only') return undefined
    const message = 'The disk refuses what a model host must note before it runs anything.'
    const room = problem.code === 'disk.full' ? { next: `make room in ${dirname(path)}` } : {}
    throw new ProblemError({ ...problem, message, ...room })
  }
}

/**
 * Of a life that ended; the next one makes its own.
 * @returns the release that was running, or undefined; a file that cannot be taken away tells nothing,
 * for it may be of a life before that.
 */
export function takeRunMark(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'latin1')
    rmSync(path)
    return /^[0-9a-f]{64}$/.test(text) ? text : undefined
  } catch {
    return undefined
  }
}
