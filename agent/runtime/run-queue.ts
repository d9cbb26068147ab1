/**
 * The line in front of the processor: native runs block the host's thread anyway, so they go one at
 * a time, in order of arrival, with a turn of the event loop between two (that is when health checks
 * are answered, new requests are read, and candidates load).
 * Invariants: at most `lengthMax` wait; every entry is settled exactly once; an entry whose deadline
 * passed while it waited is never run.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'

export interface RunQueue {
  /**
   * Runs `task` when its turn comes. Errors: `infer.overloaded` at once when the line is full or too
   * long for the deadline, `infer.deadline` when the deadline passed before the run.
   */
  run<T>(task: () => Promise<T>, deadlineAtMs: number): Promise<Result<T>>
  /** Runs `task` only when nobody waits; @returns false, without running it, otherwise. */
  runIdle(task: () => Promise<void>): boolean
  length(): number
  /** Expected wait of a request that comes now. */
  waitMs(): number
}

interface Entry {
  readonly deadlineAtMs: number
  readonly start: () => Promise<void>
  readonly expire: () => void
}

export function createRunQueue(lengthMax: number, nowMs: () => number): RunQueue {
  const waiting: Entry[] = []
  let busy = false
  /** Smoothed time of a run, from completed ones. */
  let runMs = 0

  async function drain(): Promise<void> {
    busy = true
    for (let entry = waiting.shift(); entry !== undefined; entry = waiting.shift()) {
      const startMs = nowMs()
      if (startMs > entry.deadlineAtMs) {
        entry.expire()
        continue
      }
      await entry.start()
      const tookMs = nowMs() - startMs
      runMs = runMs === 0 ? tookMs : runMs + 0.1 * (tookMs - runMs)
    }
    busy = false
  }

  const waitMs = (): number => (waiting.length + (busy ? 1 : 0)) * runMs

  function refusal(deadlineAtMs: number): Result<never> | undefined {
    const full = waiting.length >= lengthMax
    const late = waiting.length > 0 && nowMs() + waitMs() + runMs > deadlineAtMs
    if (!full && !late) return undefined
    return refuse('infer.overloaded', 'The model host has more requests than it can answer.', {
      expected: full ? `at most ${lengthMax} waiting requests` : 'a wait within the deadline',
      found: full ? `${waiting.length}` : `about ${Math.ceil(waitMs() + runMs)} ms`,
      next: `try again in ${Math.max(1, Math.ceil(waitMs() / 1000))} s`,
    })
  }

  return {
    run(task, deadlineAtMs) {
      const refused = refusal(deadlineAtMs)
      if (refused !== undefined) return Promise.resolve(refused)
      return new Promise((resolve, reject) => {
        waiting.push({
          deadlineAtMs,
          start: () => task().then((value) => resolve(ok(value)), reject),
          expire: () =>
            resolve(
              refuse('infer.deadline', 'The deadline passed before the request could run.', {
                next: 'send less at a time, or give a longer timeout',
              }),
            ),
        })
        if (!busy) void drain()
      })
    },
    runIdle(task) {
      if (busy || waiting.length > 0) return false
      waiting.push({ deadlineAtMs: Infinity, start: task, expire: () => undefined })
      void drain()
      return true
    },
    length: () => waiting.length,
    waitMs,
  }
}
