/**
 * The director's keys, as root names them in the custom field `x-linnet`. They sign assignments and
 * nothing else; other TUF clients ignore the field. A root that changes them raises the epoch.
 */
import { ok, type Result } from '../../kernel/result.ts'
import type { TrustedDirector } from '../assignment.ts'
import { Fields } from './fields.ts'
import type { Root } from './metadata.ts'
import { refuseTuf } from './problems.ts'
import { readKeySet } from './role-keys.ts'

export const LINNET_FIELD = 'x-linnet'

/** Code `tuf.malformed` when this root names no director. */
export function directorOf(root: Root): Result<TrustedDirector> {
  const flaws: string[] = []
  const fields = new Fields(root.signed, flaws).child(LINNET_FIELD)
  const keySet = readKeySet(fields, root.keys)
  const directorEpoch = fields.integer('directorEpoch', 0)
  if (flaws.length === 0) return ok({ ...keySet, directorEpoch })
  return refuseTuf('tuf.malformed', 'The root names no director.', {
    found: flaws.join('; '),
    next: 'use the root of a Linnet repository',
  })
}
