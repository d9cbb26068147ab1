/**
 * What follows the search for faster settings: they were compared beside another session, so they are
 * proved and measured once more, alone in a process. Invariant: where that fails the default stands,
 * which was proved before, and the record says why.
 */
import { err, ok, type Problem, type Result } from '../../../shared/kernel/result.ts'
import { shortReason } from './admission.ts'
import type { Passed, QualifierAnswer, QualifierTask } from './qualifier-protocol.ts'
import {
  DEFAULT_SETTINGS,
  type ProcessorSettings,
  sameSettings,
  type Trial,
  type Tuning,
} from './tune-settings.ts'

export type ProcessorWishes = Pick<QualifierTask, 'settings' | 'tuning' | 'optimised'>

/** The proof that counts, and the settings it was made in. */
export interface Confirmed {
  readonly passed: Passed
  readonly settings: ProcessorSettings
  readonly tuning: Tuning | undefined
  /** What ended the search or what came after it. */
  readonly cut: Problem | undefined
}

/** Errors: `qualify.cancelled`. */
export async function confirmTuning(
  task: QualifierTask,
  proved: Passed,
  options: {
    readonly prove: (task: QualifierTask) => Promise<QualifierAnswer>
    readonly wishes: ProcessorWishes
  },
): Promise<Result<Confirmed>> {
  const { tuning, cut, measured } = proved
  const { settings: asked, optimised } = options.wishes
  const standing = asked ?? { ...DEFAULT_SETTINGS, threads: measured.threads }
  const stays: Confirmed = { passed: proved, settings: standing, tuning, cut }
  if (tuning === undefined || sameSettings(tuning.settings, standing)) return ok(stays)
  const { settings } = tuning
  const answer = await options.prove({ ...task, settings, ...(optimised && { optimised }) })
  if (answer.outcome === 'passed') return ok({ passed: answer, settings, tuning, cut: answer.cut })
  const problem = answer.outcome === 'unavailable' ? undefined : answer.problem
  if (problem?.code === 'qualify.cancelled') return err(problem)
  const reason = problem === undefined ? 'not available alone' : shortReason(problem)
  return ok({ ...stays, tuning: { ...tuning, tried: withRefusal(tuning.tried, reason) } })
}

/** The first trial is the default. */
function withRefusal(tried: readonly Trial[], reason: string): Trial[] {
  return tried.map((trial, i) => {
    if (i === 0) return { ...trial, outcome: 'chosen' }
    if (trial.outcome !== 'chosen') return trial
    return { ...trial, outcome: 'refused', reason: reason.slice(0, 200) }
  })
}
