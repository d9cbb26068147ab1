/** Keys and key sets of roles as root and delegations list them (clauses 4.2 and 4.3). */
import type { KeySet } from '../envelope.ts'
import type { PublicKey } from '../keys.ts'
import type { Fields } from './fields.ts'

export const TOP_LEVEL_ROLES = ['root', 'timestamp', 'snapshot', 'targets'] as const
export type TopLevelRole = (typeof TOP_LEVEL_ROLES)[number]

const KEYS_MAX = 1_024
const KEYIDS_MAX = 256

/**
 * Key ids are taken as given: some repositories make them in other ways than clause 4.2 says, and
 * counting distinct keys instead of key ids makes a false one worthless.
 */
export function readKeys(fields: Fields): ReadonlyMap<string, PublicKey> {
  return new Map(fields.children(KEYS_MAX).map(([keyid, key]) => [keyid, readKey(key)]))
}

function readKey(fields: Fields): PublicKey {
  return {
    keytype: fields.text('keytype'),
    scheme: fields.text('scheme'),
    keyval: { public: fields.child('keyval').text('public') },
  }
}

/** Key ids that name no known key stay without effect; the same key id twice is refused. */
export function readKeySet(fields: Fields, keys: ReadonlyMap<string, PublicKey>): KeySet {
  const keyids = fields.texts('keyids', KEYIDS_MAX)
  if (new Set(keyids).size < keyids.length) fields.flaw('keyids', 'each key id once')
  const known = keyids.flatMap((keyid) => {
    const key = keys.get(keyid)
    return key === undefined ? [] : [[keyid, key] as const]
  })
  return { keys: new Map(known), threshold: fields.integer('threshold', 1) }
}
