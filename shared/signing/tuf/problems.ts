/** Why metadata were refused, as codes; which attack each looks like is `shared/model/attack.ts`. */
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

export function refuseTuf(
  code: TufProblemCode,
  message: string,
  details: Omit<Problem, 'code' | 'message'> = {},
): Result<never> {
  return { ok: false, error: { code, message, ...details } }
}
