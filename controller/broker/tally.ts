/**
 * Counts what was refused, by code, and logs a bounded sample: the first of a code and then
 * whenever its count has doubled, so that a flood of garbage makes no flood of log lines.
 */
import type { BrokerLog } from './broker.ts'

/** More codes than the broker has: reached only if a policy invents codes without end. */
const CODES_MAX = 100

export interface Tally {
  add(code: string, details?: object): void
  counts(): Readonly<Record<string, number>>
}

export function createTally(log: BrokerLog | undefined, what = 'broker refused'): Tally {
  const counts = new Map<string, number>()
  return {
    add(code, details = {}) {
      const kept = counts.has(code) || counts.size < CODES_MAX ? code : 'other'
      const count = (counts.get(kept) ?? 0) + 1
      counts.set(kept, count)
      const isPowerOfTwo = Number.isInteger(Math.log2(count))
      if (isPowerOfTwo) log?.warn({ code, count, ...details }, what)
    },
    counts: () => Object.fromEntries(counts),
  }
}
