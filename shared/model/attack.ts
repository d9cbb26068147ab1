/**
 * Which attack a refusal looked like, by its stable code (clause 1.5 of the TUF specification, and
 * the reports that Uptane asks for). A guess for people and for pausing rollouts: nothing is trusted
 * or refused because of it.
 */
import { z } from 'zod'
import type { Problem } from '../kernel/result.ts'

export const attackKindSchema = z.enum([
  'arbitrary_software',
  'rollback',
  'freeze',
  'mix_and_match',
  'endless_data',
  'slow_retrieval',
  'wrong_assignment',
])
export type AttackKind = z.infer<typeof attackKindSchema>

const CODES: Readonly<Record<AttackKind, readonly string[]>> = {
  arbitrary_software: [
    ...['tuf.signature', 'json.malformed', 'json.not_canonical', 'envelope.malformed'],
    ...['artifact.digest', 'frame.signature', 'time.signature'],
  ],
  rollback: ['tuf.rollback', 'assignment.generation', 'release.superseded', 'release.revoked'],
  freeze: ['tuf.expired', 'assignment.expired', 'assignment.snapshot', 'time.nonce'],
  mix_and_match: ['tuf.mix_and_match'],
  endless_data: [
    ...['tuf.endless_data', 'tuf.too_many_roots', 'artifact.length', 'assignment.too_large'],
    ...['json.too_large', 'json.too_deep', 'json.too_many'],
  ],
  slow_retrieval: ['tuf.slow_retrieval', 'net.slow'],
  wrong_assignment: [
    ...['assignment.signature', 'assignment.malformed', 'assignment.device', 'ack.device'],
    ...['assignment.device_key', 'assignment.epoch', 'assignment.target_mismatch'],
    ...['trust.target_mismatch', 'release.unproven', 'release.model', 'release.profile'],
  ],
}

const KIND_OF: ReadonlyMap<string, AttackKind> = new Map(
  attackKindSchema.options.flatMap((kind) => CODES[kind].map((code) => [code, kind] as const)),
)

/** The attack that a refusal looked like; undefined when it looked like none. */
export function attackOf(problem: Problem): AttackKind | undefined {
  return KIND_OF.get(problem.code)
}
