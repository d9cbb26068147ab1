/**
 * A folder of one process under the system's temporary folder. Its name carries the process's number:
 * what a process left that was killed is removed by the next one of its kind.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Problem } from '../shared/kernel/result.ts'
import { diskProblem } from './disk-watch.ts'

/** @param prefix of the kind: `linnet-serve-`. */
export async function makeTemporaryFolder(prefix: string, parent = tmpdir()): Promise<string> {
  await sweepTemporaryFolders(prefix, parent)
  return mkdtemp(join(parent, `${prefix}${process.pid}-`))
}

/** @returns `disk.full`; undefined where no full disk is to blame for what failed in such a folder. */
export function temporaryProblem(cause: unknown): Problem | undefined {
  const problem = diskProblem(cause)
  if (problem?.code !== 'disk.full') return undefined
  return {
    ...problem,
    message: 'The disk is full: no model can be tried.',
    next: `make room in ${tmpdir()}, or name another folder with TMPDIR`,
  }
}

/** Those of dead processes. What cannot be removed, another user's for example, stays. */
export async function sweepTemporaryFolders(prefix: string, parent: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.startsWith(prefix)) continue
    const pid = /^(\d+)-[^-]+$/.exec(name.slice(prefix.length))?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    await rm(join(parent, name), { recursive: true, force: true }).catch(() => undefined)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    // It lives, and belongs to somebody else.
    return (cause as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
