/**
 * What the device's own disk refuses, in words that a person can act on, told once when it begins and
 * once when it is over. Nothing is decided here: whoever writes tries again by itself.
 */
import type { Problem } from '../shared/kernel/result.ts'
import type { Clock, Log } from './ports.ts'

const NEXT = 'what serves goes on; the device tries again by itself'

/** Codes of `errno`: what the system says, and what helps. Others are no matter of the disk. */
const KINDS: Readonly<Record<string, Omit<Problem, 'found'>>> = {
  ENOSPC: {
    code: 'disk.full',
    message: 'The disk of the device is full: it can neither note its state nor take a release.',
    next: `make room in the agent's home; ${NEXT}`,
  },
  EROFS: {
    code: 'disk.read_only',
    message:
      'The disk of the device takes no writes: it can neither note its state nor take a release.',
    next: `mount the agent's home for writing; ${NEXT}`,
  },
  EACCES: {
    code: 'disk.read_only',
    message:
      'The agent may not write to its home: it can neither note its state nor take a release.',
    next: `give the agent's user its home; ${NEXT}`,
  },
  EIO: {
    code: 'disk.failed',
    message: 'The disk of the device fails.',
    next: `replace it; ${NEXT}`,
  },
  EMFILE: {
    code: 'process.files',
    message: 'The agent has as many files open as the system allows.',
    next: `raise its limit of open files (ulimit -n); ${NEXT}`,
  },
}
const SAME: Readonly<Record<string, string>> = {
  EDQUOT: 'ENOSPC',
  EPERM: 'EACCES',
  ENFILE: 'EMFILE',
}

/** @returns undefined where the disk is not to blame. */
export function diskProblem(cause: unknown): Problem | undefined {
  if (typeof cause !== 'object' || cause === null || !('code' in cause)) return undefined
  const errno = String(cause.code)
  const kind = KINDS[SAME[errno] ?? errno]
  const found = 'message' in cause ? String(cause.message).slice(0, 200) : errno
  return kind === undefined ? undefined : { ...kind, found }
}

export interface DiskWatch {
  /** @returns whether the disk is to blame; then somebody was told. */
  failed(cause: unknown): boolean
  wrote(): void
}

/** A disk that is nearly full refuses one write and takes the next: nobody wants to hear of each. */
const QUIET_MS = 600_000

/** @param tell once for each episode, and no more often than every ten minutes for the same. */
export function createDiskWatch(
  { clock, log }: { readonly clock: Pick<Clock, 'monotonicMs'>; readonly log: Log },
  tell: (problem: Problem) => void,
): DiskWatch {
  let now: string | undefined
  let told: { readonly code: string; readonly atMs: number } | undefined
  return {
    failed(cause) {
      const problem = diskProblem(cause)
      if (problem === undefined) return false
      const { code, message, found, next } = problem
      const atMs = clock.monotonicMs()
      const isNews = told?.code !== code || atMs - told.atMs >= QUIET_MS
      if (now !== code && isNews) {
        told = { code, atMs }
        log.warn(message, { code, found, next })
        tell(problem)
      }
      now = code
      return true
    },
    wrote() {
      if (now !== undefined) log.info('the disk takes writes again', { was: now })
      now = undefined
    },
  }
}
