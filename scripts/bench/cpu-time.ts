/** CPU time of a process and its children, from /proc (Linux): on a busy machine it tells more than wall time. */
import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts CPU time in hundredths of a second. */
const TICK_MS = 10

/** User and system time of `pid` and everything it started that still lives, in ms. */
export function cpuMs(pid: number): number {
  const rows = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)) ?? [])
  let total = 0
  const open = [pid]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    total += rows.find((row) => row.pid === next)?.ticks ?? 0
    open.push(...rows.filter((row) => row.parent === next).map((row) => row.pid))
  }
  return total * TICK_MS
}

function readStat(pid: number): { pid: number; parent: number; ticks: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name in parentheses may hold anything; fields are counted after it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { pid, parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }
  } catch {
    return undefined
  }
}
