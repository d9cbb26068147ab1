/**
 * Looks at the release metadata from time to time, also when nobody assigns anything: to see what the
 * publishers withdrew, a director that was replaced, and that metadata expire. Asks the controller for
 * the assignment where the broker gives none.
 *
 * Invariant: one look at a time; what it finds goes to the machine as events, which decides.
 */
import { type Problem, toProblem } from '../shared/kernel/result.ts'
import type { DeviceEvent, ReleaseRef } from '../shared/update/state.ts'
import type { Clock, Log, Trust } from './ports.ts'

export interface ReviewPorts {
  readonly trust: Trust
  readonly clock: Clock
  readonly log: Log
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** The newest assignment over HTTP, unchecked; undefined when there is none. */
  readonly askAssignment?: (() => Promise<string | undefined>) | undefined
}

export interface ReviewLane {
  start(): void
  connected(isConnected: boolean): void
  /** The broker gave an assignment, or something that says it is one. */
  desiredArrived(): void
  /** Resolves when nothing is written any more, or after two seconds. */
  close(): Promise<void>
}

const FIRST_MS = 5_000
const EVERY_MS = 3_600_000
const AGAIN_MS = 300_000
/** A retained message comes at once after subscribing. */
const RETAINED_WITHIN_MS = 15_000
const CLOSE_MS_MAX = 2_000

export function createReviewLane(
  { trust, clock, log, random, askAssignment }: ReviewPorts,
  releases: () => readonly ReleaseRef[],
  dispatch: (event: DeviceEvent) => void,
): ReviewLane {
  let closed = false
  let looking: Promise<void> | undefined
  let cancelReview = (): void => undefined
  let cancelAsk = (): void => undefined

  function plan(delayMs: number): void {
    cancelReview()
    if (!closed)
      cancelReview = clock.after(delayMs * (0.75 + random() / 2), () => {
        looking = look().finally(() => {
          looking = undefined
        })
      })
  }

  async function look(): Promise<void> {
    const found = await trust.review(releases()).catch((cause: unknown) => {
      log.warn('the release metadata could not be looked at', { reason: String(cause) })
    })
    if (closed) return
    plan(found === undefined || found.problem !== null ? AGAIN_MS : EVERY_MS)
    if (found === undefined) return
    dispatch({ kind: 'reviewed', review: found.review })
    if (found.problem !== null) tellOf(found.problem)
  }

  function tellOf(problem: Problem): void {
    log.warn('the release metadata were not renewed', { code: problem.code })
    dispatch({ kind: 'attackSeen', subject: 'release metadata', problem })
  }

  async function ask(): Promise<void> {
    const envelope = await askAssignment?.().catch((cause: unknown) => {
      log.warn('the assignment could not be asked for', { code: toProblem(cause, 'net').code })
    })
    if (envelope !== undefined && !closed) dispatch({ kind: 'desiredReceived', envelope })
  }

  return {
    start: () => plan(FIRST_MS),
    connected(isConnected) {
      cancelAsk()
      if (!isConnected || askAssignment === undefined) return
      cancelAsk = clock.after(RETAINED_WITHIN_MS * (0.75 + random() / 2), () => void ask())
    },
    desiredArrived: () => cancelAsk(),
    async close() {
      closed = true
      cancelReview()
      cancelAsk()
      if (looking === undefined) return
      let cancel = (): void => undefined
      const patience = new Promise<void>((resolve) => {
        cancel = clock.after(CLOSE_MS_MAX, resolve)
      })
      await Promise.race([looking, patience])
      cancel()
    },
  }
}
