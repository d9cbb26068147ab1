/**
 * The black box of the model host: a few bytes in a file that say which release runs right now. They
 * survive the process, so after a crash or a hang the control process knows whom to blame. Written
 * only where there is a choice of releases: a write costs about 2 us.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

export interface RunMark {
  set(sha256: string | null): void
  close(): void
}

const IDLE = '-'.repeat(64)

export function openRunMark(path: string): RunMark {
  const file = openSync(path, 'w', 0o600)
  writeSync(file, IDLE, 0)
  let last: string = IDLE
  return {
    set(sha256) {
      const next = sha256 ?? IDLE
      if (next === last) return
      last = next
      writeSync(file, next, 0)
    },
    close: () => closeSync(file),
  }
}

/** @returns the release that was running, or undefined. */
export function readRunMark(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'latin1')
    return /^[0-9a-f]{64}$/.test(text) ? text : undefined
  } catch {
    return undefined
  }
}
