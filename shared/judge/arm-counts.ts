/** The counts of one arm that a verdict rests on: sums of windows, exact, in any order. */
import type { Window } from '../sketch/window.ts'

export interface ArmCounts {
  /** Requests that drew the arm, answered or not. */
  readonly requests: number
  /** Of those: without a valid answer. */
  readonly errors: number
  /** Of those: total latency over the release's limit. */
  readonly latencyBad: number
  /** Answers whose truth came back, and the right ones among them. */
  readonly labelled: number
  readonly correct: number
  /** Requests that the candidate computed beside the served answer, and those it answered otherwise. */
  readonly shadowCompared: number
  readonly shadowDisagreed: number
}

export const NO_COUNTS: ArmCounts = {
  requests: 0,
  errors: 0,
  latencyBad: 0,
  labelled: 0,
  correct: 0,
  shadowCompared: 0,
  shadowDisagreed: 0,
}

export function armCounts(window: Window): ArmCounts {
  return {
    requests: window.n,
    errors: Object.values(window.errors).reduce((sum, count) => sum + count, 0),
    latencyBad: window.nBad.latency,
    labelled: window.labels.labelled,
    correct: window.labels.correct,
    shadowCompared: window.outputs.shadowCompared,
    shadowDisagreed: window.outputs.shadowDisagreed,
  }
}

export function addArms(arms: readonly ArmCounts[]): ArmCounts {
  return arms.reduce(
    (sum, arm) => ({
      requests: sum.requests + arm.requests,
      errors: sum.errors + arm.errors,
      latencyBad: sum.latencyBad + arm.latencyBad,
      labelled: sum.labelled + arm.labelled,
      correct: sum.correct + arm.correct,
      shadowCompared: sum.shadowCompared + arm.shadowCompared,
      shadowDisagreed: sum.shadowDisagreed + arm.shadowDisagreed,
    }),
    NO_COUNTS,
  )
}
