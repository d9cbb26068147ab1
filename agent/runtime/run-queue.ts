/**
 * The line in front of the processor. Native runs block the host's thread, so they go one after the
 * other, in order of arrival, with turns of the event loop in between: there health checks are
 * answered, requests are read and candidates load. Short runs share a turn, up to `TURN_MS`.
 *
 * Invariants: at most `lengthMax` wait; every entry is settled exactly once; an entry whose deadline
 * passed while it waited is never run; a task never rejects (it settles its own failures).
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'

/** What a task gave, and when its own run began and ended: runs that share a turn are told apart. */
export interface Ran<T> {
  readonly value: T
  readonly startMs: number
  readonly endMs: number
}

export interface RunQueue {
  /**
   * Runs `task` when its turn comes. Errors: `infer.overloaded` at once when the line is full or too
   * long for the deadline, `infer.deadline` when the deadline passed before the run,
   * `infer.cancelled` when nobody waits for it any more.
   */
  run<T>(
    task: () => Promise<T>,
    deadlineAtMs: number,
    isGone?: () => boolean,
  ): Promise<Result<Ran<T>>>
  /** Runs `task` only when nobody waits or runs; otherwise it is dropped. */
  runIdle(task: () => Promise<void>): void
  length(): number
  /** One run per turn from now on, or as many as fit: whoever notes what runs needs one. */
  oneAtATime(only: boolean): void
}

interface Entry {
  readonly deadlineAtMs: number
  readonly isGone: () => boolean
  readonly start: () => Promise<void>
  /** Gives the entry back without running it. */
  readonly giveBack: (refused: Result<never>) => void
}

/** Runs that start in one turn of the loop take no longer than this together. */
const TURN_MS = 2
const RUNS_PER_TURN_MAX = 8
const NEVER = (): boolean => false
const IDLE = { deadlineAtMs: Infinity, isGone: NEVER, giveBack: () => undefined }

export function createRunQueue(lengthMax: number, nowMs: () => number): RunQueue {
  const waiting: Entry[] = []
  let isBusy = false
  let onlyOne = false
  /** Smoothed time of a run. */
  let runMs = 0
  /** The same without what else the loop does before a run begins: falls fast, rises slowly. */
  let bareMs = 0
  let lastEndMs = 0

  async function measure<T>(task: () => Promise<T>): Promise<Ran<T>> {
    const begunMs = nowMs()
    const value = await task()
    const endMs = nowMs()
    const startMs = Math.max(begunMs, lastEndMs)
    lastEndMs = endMs
    const tookMs = endMs - startMs
    runMs = runMs === 0 ? tookMs : runMs + 0.1 * (tookMs - runMs)
    bareMs = bareMs === 0 ? tookMs : bareMs + (tookMs < bareMs ? 0.2 : 0.01) * (tookMs - bareMs)
    return { value, startMs, endMs }
  }

  function takeTurn(): Promise<void>[] {
    const fitting = onlyOne || bareMs === 0 ? 1 : Math.floor(TURN_MS / bareMs)
    const started: Promise<void>[] = []
    while (waiting.length > 0 && started.length < Math.max(1, fitting)) {
      const entry = waiting.shift()!
      if (entry.isGone()) entry.giveBack(refuseGone())
      else if (nowMs() > entry.deadlineAtMs) entry.giveBack(refuseExpired())
      else started.push(entry.start())
      if (started.length === RUNS_PER_TURN_MAX) break
    }
    return started
  }

  async function drain(): Promise<void> {
    isBusy = true
    while (waiting.length > 0) await Promise.all(takeTurn())
    isBusy = false
  }

  function refusal(deadlineAtMs: number): Result<never> | undefined {
    const waitMs = (waiting.length + (isBusy ? 1 : 0)) * runMs
    const isFull = waiting.length >= lengthMax
    const isLate = waiting.length > 0 && nowMs() + waitMs + runMs > deadlineAtMs
    if (!isFull && !isLate) return undefined
    return refuse('infer.overloaded', 'The model host has more requests than it can answer.', {
      expected: isFull ? `at most ${lengthMax} waiting requests` : 'a wait within the deadline',
      found: isFull ? `${waiting.length}` : `about ${Math.ceil(waitMs + runMs)} ms`,
      next: `try again in ${Math.max(1, Math.ceil(waitMs / 1000))} s`,
    })
  }

  return {
    run<T>(task: () => Promise<T>, deadlineAtMs: number, isGone = NEVER) {
      const refused = refusal(deadlineAtMs)
      if (refused !== undefined) return Promise.resolve(refused)
      return new Promise<Result<Ran<T>>>((resolve) => {
        waiting.push({
          deadlineAtMs,
          isGone,
          start: async () => resolve(ok(await measure(task))),
          giveBack: resolve,
        })
        if (!isBusy) void drain()
      })
    },
    runIdle(task) {
      if (isBusy || waiting.length > 0) return
      waiting.push({ ...IDLE, start: task })
      void drain()
    },
    length: () => waiting.length,
    oneAtATime: (only) => {
      onlyOne = only
    },
  }
}

function refuseExpired(): Result<never> {
  return refuse('infer.deadline', 'The deadline passed before the request could run.', {
    next: 'send less at a time, or give a longer timeout',
  })
}

function refuseGone(): Result<never> {
  return refuse('infer.cancelled', 'Nobody waits for this answer any more.')
}
