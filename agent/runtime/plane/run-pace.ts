/**
 * How long runs take, and how many of them may share one turn of the event loop: short ones do, up to
 * `TURN_MS`, so that a small model does not pay a turn for each request.
 */
import { createForecast } from './wait-forecast.ts'

export interface RunPace {
  /** @returns when the run that began then and ends now had the processor to itself. */
  ended(begunMs: number): { readonly startMs: number; readonly endMs: number }
  /** A typical run of late. */
  medianMs(): number
  runsPerTurn(): number
  /** One run per turn from now on, or as many as fit. */
  oneAtATime(only: boolean): void
}

/** Runs that start in one turn of the loop take no longer than this together. */
const TURN_MS = 2
const RUNS_PER_TURN_MAX = 8

export function createRunPace(nowMs: () => number): RunPace {
  const runs = createForecast()
  /** A run without what else the loop does before it begins: falls fast, rises slowly. */
  let bareMs = 0
  let lastEndMs = 0
  let onlyOne = false
  return {
    ended(begunMs) {
      const endMs = nowMs()
      const startMs = Math.max(begunMs, lastEndMs)
      lastEndMs = endMs
      const tookMs = endMs - startMs
      runs.record(tookMs)
      bareMs = bareMs === 0 ? tookMs : bareMs + (tookMs < bareMs ? 0.2 : 0.01) * (tookMs - bareMs)
      return { startMs, endMs }
    },
    medianMs: runs.medianMs,
    runsPerTurn() {
      if (onlyOne || bareMs === 0) return 1
      return Math.min(RUNS_PER_TURN_MAX, Math.max(1, Math.floor(TURN_MS / bareMs)))
    },
    oneAtATime(only) {
      onlyOne = only
    },
  }
}
