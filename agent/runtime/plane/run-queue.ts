/**
 * The lines in front of the processor. Native runs block the host's thread, so they go one after the
 * other, with turns of the event loop in between: there health checks are answered, requests are read
 * and candidates load. What goes first is left to the lines (waiting-lines.ts), how many runs share a
 * turn to the pace (run-pace.ts), what runs together, and how, to the work that the queue is made for.
 *
 * Invariants: at most `lengthMax` wait in each line; every entry is settled exactly once; an entry
 * whose deadline passed while it waited is never run; one that failed in company is run again alone.
 */
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { Priority } from '../../data-plane.ts'
import { createRunPace, type RunPace } from './run-pace.ts'
import { createForecast } from './wait-forecast.ts'
import { createWaitingLines, type WaitingLines } from './waiting-lines.ts'

/** What a job gave, and when its run began and ended: runs that share a turn are told apart. */
export interface Ran<R> {
  readonly value: R
  readonly startMs: number
  readonly endMs: number
  /** One of those that ran together has it: the number of these is the number of runs. */
  readonly leads: boolean
  /** Of all that shared the run. */
  readonly runRows: number
}

export interface Patience {
  readonly deadlineAtMs: number
  readonly isGone?: (() => boolean) | undefined
  readonly priority?: Priority | undefined
}

/** How jobs are run; nothing here rejects. */
export interface QueueWork<J, R> {
  runOne(job: J): Promise<R>
  rows(job: J): number
  /** One run for all; undefined when it failed, and each must run alone. */
  runTogether(jobs: readonly J[]): Promise<readonly R[] | undefined>
  /**
   * Asked before `head` runs; @returns which of the others join it, asked in order; undefined when
   * it runs alone. A job that was let in runs with it.
   */
  company(head: J): ((other: J) => boolean) | undefined
}

export interface RunQueue<J, R> {
  /**
   * Runs `job` when its turn comes. Errors: `infer.overloaded` at once when its line is full or too
   * long for the deadline, `infer.deadline` when the deadline passed before the run,
   * `infer.cancelled` when nobody waits for it any more.
   */
  run(job: J, patience: Patience): Promise<Result<Ran<R>>>
  /**
   * Runs `task`, which must not reject, only when nobody waits or runs.
   * @returns false where it was dropped.
   */
  runIdle(task: () => Promise<void>): boolean
  /** Of the jobs that wait, these. */
  count(which: (job: J) => boolean): number
  /** One run per turn from now on, or as many as fit: whoever notes what runs needs one. */
  oneAtATime(only: boolean): void
}

/** Of an entry, what the forecast of the next ones needs. */
interface Place {
  readonly priority: Priority
  readonly enteredAtMs: number
  /** Entries and runs before it when it came. */
  readonly ahead: number
  /** Its run in company failed. */
  isAlone: boolean
}

interface Entry<J, R> extends Place {
  readonly job: J
  readonly deadlineAtMs: number
  readonly isGone: (() => boolean) | undefined
  readonly settle: (result: Result<Ran<R>>) => void
}

export function createRunQueue<J, R>(
  lengthMax: number,
  nowMs: () => number,
  work: QueueWork<J, R>,
): RunQueue<J, R> {
  const lines = createWaitingLines<Entry<J, R>>()
  const pace = createRunPace(nowMs)
  const door = createDoor(lengthMax, nowMs, lines, pace)
  let isBusy = false
  /** Runs that were started and have not ended. */
  let running = 0

  async function start(head: Entry<J, R>): Promise<void> {
    const begunMs = nowMs()
    const mates = matesOf(head)
    running += 1
    if (mates === undefined) {
      const value = await work.runOne(head.job)
      running -= 1
      const { startMs, endMs } = pace.ended(begunMs)
      head.settle(ok({ value, startMs, endMs, leads: true, runRows: work.rows(head.job) }))
    } else await startTogether([head, ...mates], begunMs)
  }

  async function startTogether(entries: readonly Entry<J, R>[], begunMs: number): Promise<void> {
    const values = await work.runTogether(entries.map(({ job }) => job))
    running -= 1
    const ended = pace.ended(begunMs)
    if (values === undefined) return runEachAlone(lines, entries)
    settleEach(entries, values, { ...ended, runRows: rowsTogether(entries, work.rows) })
  }

  /** Undefined when it runs by itself. */
  function matesOf(head: Entry<J, R>): Entry<J, R>[] | undefined {
    const joins = head.isAlone || lines.length() === 0 ? undefined : work.company(head.job)
    if (joins === undefined) return undefined
    const atMs = nowMs()
    const mates = lines.takeMates(
      (entry) => !entry.isAlone && atMs <= entry.deadlineAtMs && !isGone(entry) && joins(entry.job),
    )
    for (const mate of mates) door.left(mate, atMs)
    return mates.length === 0 ? undefined : mates
  }

  function takeTurn(): Promise<void>[] {
    const runsMax = pace.runsPerTurn()
    const started: Promise<void>[] = []
    while (started.length < runsMax) {
      const entry = lines.take()
      if (entry === undefined) break
      const atMs = nowMs()
      door.left(entry, atMs)
      if (isGone(entry)) entry.settle(refuseGone())
      else if (atMs > entry.deadlineAtMs) entry.settle(refuseExpired())
      else started.push(start(entry))
    }
    return started
  }

  async function drain(first?: () => Promise<void>): Promise<void> {
    isBusy = true
    // Also without a first task this lets callers of the same moment in: they may run together.
    await first?.()
    while (lines.length() > 0) await Promise.all(takeTurn())
    isBusy = false
  }

  return {
    run(job, { deadlineAtMs, isGone, priority = 'normal' }) {
      const ahead = running + lines.ahead(priority)
      const refused = door.refusal(priority, ahead, deadlineAtMs)
      if (refused !== undefined) return Promise.resolve(refused)
      return new Promise((settle) => {
        const [enteredAtMs, isAlone] = [nowMs(), false]
        lines.push({ job, priority, deadlineAtMs, isGone, settle, ahead, enteredAtMs, isAlone })
        if (!isBusy) void drain()
      })
    },
    runIdle(task) {
      const isIdle = !isBusy && lines.length() === 0
      if (isIdle) void drain(task)
      return isIdle
    },
    count: (which) => lines.all().filter(({ job }) => which(job)).length,
    oneAtATime: pace.oneAtATime,
  }
}

function rowsTogether<J, R>(entries: readonly Entry<J, R>[], rows: (job: J) => number): number {
  return entries.reduce((sum, { job }) => sum + rows(job), 0)
}

function settleEach<J, R>(
  entries: readonly Entry<J, R>[],
  values: readonly R[],
  { startMs, endMs, runRows }: Pick<Ran<R>, 'startMs' | 'endMs' | 'runRows'>,
): void {
  for (let i = 0; i < entries.length; i++) {
    entries[i]!.settle(ok({ value: values[i]!, startMs, endMs, leads: i === 0, runRows }))
  }
}

/** In their order, before those that wait. */
function runEachAlone<E extends Place>(
  lines: Pick<WaitingLines<E>, 'putBack'>,
  entries: readonly E[],
): void {
  for (const entry of entries.toReversed()) {
    entry.isAlone = true
    lines.putBack(entry)
  }
}

/** Who may come in: a line has a length, and nobody waits who cannot be answered in time. */
function createDoor(
  lengthMax: number,
  nowMs: () => number,
  lines: Pick<WaitingLines<never>, 'length'>,
  pace: RunPace,
) {
  /** Per place in the line, as each priority sees it. */
  const waits = { high: createForecast(), normal: createForecast() }
  return {
    refusal(priority: Priority, ahead: number, deadlineAtMs: number): Result<never> | undefined {
      const waiting = lines.length(priority)
      const isFull = waiting >= lengthMax
      // Whoever comes first is let in whatever was measured: only runs tell when that has changed.
      if (!isFull && lines.length() === 0) return undefined
      const waitMs = ahead * waits[priority].medianMs()
      const tookMs = waitMs + pace.medianMs()
      if (!isFull && nowMs() + tookMs <= deadlineAtMs) return undefined
      return refuse('infer.overloaded', 'The model host has more requests than it can answer.', {
        expected: isFull ? `at most ${lengthMax} waiting requests` : 'a wait within the deadline',
        found: isFull ? `${waiting}` : `about ${Math.ceil(tookMs)} ms`,
        next: `try again in ${Math.max(1, Math.ceil(waitMs / 1000))} s`,
      })
    },
    /** An entry waits no longer. */
    left({ priority, ahead, enteredAtMs, isAlone }: Place, atMs: number): void {
      if (ahead > 0 && !isAlone) waits[priority].record((atMs - enteredAtMs) / ahead)
    },
  }
}

const isGone = (entry: { readonly isGone: (() => boolean) | undefined }): boolean =>
  entry.isGone?.() === true

function refuseExpired(): Result<never> {
  return refuse('infer.deadline', 'The deadline passed before the request could run.', {
    next: 'send less at a time, or give a longer timeout',
  })
}

function refuseGone(): Result<never> {
  return refuse('infer.cancelled', 'Nobody waits for this answer any more.')
}
