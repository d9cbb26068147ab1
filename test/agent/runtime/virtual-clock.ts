/** A clock that stands still until told; tasks run in order of their time. */
import type { Clock } from '../../../agent/ports.ts'

export interface VirtualClock extends Clock {
  advance(ms: number): void
}

export function createVirtualClock(startMs = 1_000_000): VirtualClock {
  let nowMs = startMs
  let tasks: { atMs: number; task: () => void }[] = []
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    after(delayMs, task) {
      const entry = { atMs: nowMs + delayMs, task }
      tasks.push(entry)
      return () => {
        tasks = tasks.filter((other) => other !== entry)
      }
    },
    advance(ms) {
      const endMs = nowMs + ms
      for (;;) {
        const next = tasks.toSorted((a, b) => a.atMs - b.atMs)[0]
        if (next === undefined || next.atMs > endMs) break
        tasks = tasks.filter((other) => other !== next)
        nowMs = next.atMs
        next.task()
      }
      nowMs = endMs
    },
  }
}
