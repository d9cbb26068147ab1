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
/** So that a look at all of them stays a matter of milliseconds, whatever their wildcards. */
const PATTERN_CHARS_MAX = 512
const PATTERNS_CHARS_MAX = 65_536
const FILE_NAME_CHARS_MAX = 200

export function readDelegations(fields: Fields): Delegations {
  const keys = readKeys(fields.child('keys'))
  if (fields.has('succinct_roles') && !fields.has('roles')) {
    const succinct = fields.child('succinct_roles')
    return readSuccinct(succinct, readKeySet(succinct, keys))
  }
  const digestOf = rememberingDigest()
  const roles = fields
    .items('roles', ROLES_MAX)
    .map((role) => readDelegation(role, readKeySet(role, keys), digestOf))
  const patterns = roles.flatMap(({ paths }) => paths)
  if (patterns.some((pattern) => pattern.length > PATTERN_CHARS_MAX)) {
    fields.flaw('roles', `patterns of at most ${PATTERN_CHARS_MAX} characters`)
  }
  if (patterns.reduce((sum, { length }) => sum + length, 0) > PATTERNS_CHARS_MAX) {
    fields.flaw('roles', `patterns of at most ${PATTERNS_CHARS_MAX} characters in all`)
  }
  if (new Set(roles.map(({ name }) => name)).size < roles.length) {
    fields.flaw('roles', 'each role name once')
  }
  return { roles, rolesFor: (path) => roles.filter((role) => role.trustsPath(path)) }
}

/** Roles are asked about one path after the other: its digest is made once. */
function rememberingDigest(): (path: string) => string {
  let last: { path: string; digest: string } | undefined
  return (path) => {
    if (last?.path !== path) last = { path, digest: sha256Hex(path) }
    return last.digest
  }
}

function readDelegation(
  fields: Fields,
  keySet: KeySet,
  digestOf: (path: string) => string,
): Delegation {
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
    ...readTrust(fields, digestOf),
  }
}

function readTrust(
  fields: Fields,
  digestOf: (path: string) => string,
): Pick<Delegation, 'paths' | 'trustsPath'> {
  if (fields.has('paths')) {
    const paths = fields.texts('paths', PATHS_MAX)
    return { paths, trustsPath: (path) => paths.some((pattern) => matchesPattern(path, pattern)) }
  }
  const prefixes = fields.texts('path_hash_prefixes', PATHS_MAX)
  const trustsPath = (path: string) => prefixes.some((prefix) => digestOf(path).startsWith(prefix))
  return { paths: [], trustsPath }
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
