/** Why metadata were refused, as codes, and which attack each would be (clause 1.5 of the spec). */
import type { Problem, Result } from '../../kernel/result.ts'

export type TufProblemCode =
  | 'tuf.signature'
  | 'tuf.rollback'
  | 'tuf.expired'
  | 'tuf.mix_and_match'
  | 'tuf.endless_data'
  | 'tuf.slow_retrieval'
  | 'tuf.malformed'
  | 'tuf.unavailable'
  | 'tuf.no_trusted_root'
  | 'tuf.too_many_roots'
  | 'tuf.target_unknown'

export type AttackKind =
  | 'arbitrary_software'
  | 'rollback'
  | 'freeze'
  | 'mix_and_match'
  | 'endless_data'
  | 'slow_retrieval'

const ATTACKS: ReadonlyMap<string, AttackKind> = new Map<TufProblemCode, AttackKind>([
  ['tuf.signature', 'arbitrary_software'],
  ['tuf.rollback', 'rollback'],
  ['tuf.expired', 'freeze'],
  ['tuf.mix_and_match', 'mix_and_match'],
  ['tuf.endless_data', 'endless_data'],
  ['tuf.too_many_roots', 'endless_data'],
  ['tuf.slow_retrieval', 'slow_retrieval'],
])

/** The attack that a refusal looked like; undefined when it looked like none. */
export function attackOf(problem: Problem): AttackKind | undefined {
  return ATTACKS.get(problem.code)
}

export function refuseTuf(
  code: TufProblemCode,
  message: string,
  details: Omit<Problem, 'code' | 'message'> = {},
): Result<never> {
  return { ok: false, error: { code, message, ...details } }
}
