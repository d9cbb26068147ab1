/**
 * Delegations (clause 4.5): which roles a role trusts for which paths, in order of priority, and
 * the succinct form for many equal bins (TAP 15). Whether a delegated role keeps what it is trusted
 * for is the search's to see.
 */
import { utf8 } from '../../kernel/bytes.ts'
import { sha256, sha256Hex } from '../../kernel/sha256.ts'
import type { KeySet } from '../envelope.ts'
import type { Fields } from './fields.ts'
import { matchesPattern } from './path-pattern.ts'
import { readKeySet, readKeys, TOP_LEVEL_ROLES } from './role-keys.ts'
import { roleFileName } from './store-layout.ts'

export interface Delegation {
  readonly name: string
  readonly keySet: KeySet
  readonly terminating: boolean
  /** Its patterns, for people; empty where it is trusted by hash. */
  readonly paths: readonly string[]
  readonly trustsPath: (path: string) => boolean
}

export interface Delegations {
  /** All of them in order of priority; none where they are succinct. */
  readonly roles: readonly Delegation[]
  /** The roles trusted for `path`, highest priority first. */
  rolesFor(path: string): readonly Delegation[]
}

const ROLES_MAX = 4_096
const PATHS_MAX = 4_096
const FILE_NAME_CHARS_MAX = 200

export function readDelegations(fields: Fields): Delegations {
  const keys = readKeys(fields.child('keys'))
  if (fields.has('succinct_roles') && !fields.has('roles')) {
    const succinct = fields.child('succinct_roles')
    return readSuccinct(succinct, readKeySet(succinct, keys))
  }
  const roles = fields
    .items('roles', ROLES_MAX)
    .map((role) => readDelegation(role, readKeySet(role, keys)))
  if (new Set(roles.map(({ name }) => name)).size < roles.length) {
    fields.flaw('roles', 'each role name once')
  }
  return { roles, rolesFor: (path) => roles.filter((role) => role.trustsPath(path)) }
}

function readDelegation(fields: Fields, keySet: KeySet): Delegation {
  const name = fields.text('name')
  const reserved: readonly string[] = TOP_LEVEL_ROLES
  if (reserved.includes(name)) fields.flaw('name', 'not the name of a top-level role')
  if (name === '' || roleFileName(name).length > FILE_NAME_CHARS_MAX) {
    fields.flaw('name', `a name that fits a file name of ${FILE_NAME_CHARS_MAX} characters`)
  }
  if (fields.has('paths') === fields.has('path_hash_prefixes')) {
    fields.flaw('paths', 'either paths or path_hash_prefixes')
  }
  return {
    name,
    keySet,
    terminating: fields.has('terminating') && fields.flag('terminating'),
    paths: fields.has('paths') ? fields.texts('paths', PATHS_MAX) : [],
    trustsPath: readTrust(fields),
  }
}

function readTrust(fields: Fields): (path: string) => boolean {
  if (fields.has('paths')) {
    const patterns = fields.texts('paths', PATHS_MAX)
    return (path) => patterns.some((pattern) => matchesPattern(path, pattern))
  }
  const prefixes = fields.texts('path_hash_prefixes', PATHS_MAX)
  return (path) => {
    const digest = sha256Hex(path)
    return prefixes.some((prefix) => digest.startsWith(prefix))
  }
}

/** Bin `n` holds the paths whose hash begins with the `bit_length` bits of `n`. */
function readSuccinct(fields: Fields, keySet: KeySet): Delegations {
  const bits = fields.integer('bit_length', 1)
  const prefix = fields.text('name_prefix')
  if (bits > 32) fields.flaw('bit_length', 'at most 32')
  if (roleFileName(prefix).length > FILE_NAME_CHARS_MAX - 9) fields.flaw('name_prefix', 'shorter')
  const digits = Math.ceil(bits / 4)
  return {
    roles: [],
    rolesFor: (path) => {
      const digest = sha256(utf8(path))
      const start = new DataView(digest.buffer, digest.byteOffset).getUint32(0)
      const bin = start >>> (32 - bits)
      const name = `${prefix}-${bin.toString(16).padStart(digits, '0')}`
      return [{ name, keySet, terminating: true, paths: [], trustsPath: () => true }]
    },
  }
}
