/**
 * One program per home: a lock file that names its holder by process id and, where the system tells,
 * by the time at which that process started, so that an id that was given away again misleads nobody.
 *
 * Invariant: the file appears whole or not at all. What a killed program left is taken over. Not
 * noticed: a holder in another container or on another machine that shares the folder.
 */
import {
  linkSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { ProblemError } from '../kernel/result.ts'

const TRIES_MAX = 5

/**
 * Holds `<home>/<name>.lock` until this process ends.
 * @throws ProblemError `home.in_use`
 */
export function lockHome(home: string, name: string): void {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const path = join(home, `${name}.lock`)
  const draft = `${path}.${process.pid}`
  const mine = `${process.pid} ${startOf(process.pid) ?? '-'}`
  writeDraft(draft, mine)
  try {
    for (let attempt = 1; !linked(draft, path); attempt++) {
      if (attempt === TRIES_MAX) throw inUse(home, 'somebody who starts at the same time')
      requireUnlocked(home, name)
      takeAway(path)
    }
  } finally {
    unlinkSync(draft)
  }
  process.once('exit', () => {
    if (textOf(path)?.trim() === mine) rmSync(path, { force: true })
  })
}

/** A full disk has no room for a line of text, but for a link whose target says the same. */
function writeDraft(draft: string, mine: string): void {
  try {
    writeFileSync(draft, `${mine}\n`, { mode: 0o600 })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw cause
    rmSync(draft, { force: true })
    symlinkSync(mine, draft)
  }
}

/** @throws ProblemError `home.in_use` while a program holds the lock. */
export function requireUnlocked(home: string, name: string): void {
  const [pid, start] = (textOf(join(home, `${name}.lock`)) ?? '').trim().split(' ')
  const isOther = pid !== undefined && /^\d+$/.test(pid) && Number(pid) !== process.pid
  if (!isOther || !isAlive(Number(pid))) return
  const startNow = startOf(Number(pid))
  if (startNow === undefined || start === '-' || startNow === start) {
    throw inUse(home, `process ${pid}`)
  }
}

function inUse(home: string, holder: string): ProblemError {
  return new ProblemError({
    code: 'home.in_use',
    message: `Another program uses ${home}.`,
    found: holder,
    next: 'stop it first, or choose another --home',
  })
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw cause
  }
}

/** Moved before it is deleted: of two that start at once only one gets the stale file. */
function takeAway(path: string): void {
  const stale = `${path}.stale.${process.pid}`
  try {
    renameSync(path, stale)
    unlinkSync(stale)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return linkText(path)
  }
}

function linkText(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Linux only: ticks since the machine started, the 22nd field (proc(5)). */
function startOf(pid: number): string | undefined {
  const stat = textOf(`/proc/${pid}/stat`)
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}
