/**
 * The four kinds of metadata (clause 4) as values, read from the `signed` part. Unknown fields are
 * ignored here and preserved where it matters: signatures cover the part as it was sent. Nothing
 * here checks signatures, versions or expiry; that is the client's workflow.
 */
import { ok, type Result } from '../../kernel/result.ts'
import type { JsonObject } from '../canonical-json.ts'
import type { KeySet } from '../envelope.ts'
import type { PublicKey } from '../keys.ts'
import { type Delegations, readDelegations } from './delegations.ts'
import { Fields } from './fields.ts'
import { refuseTuf } from './problems.ts'
import { readKeySet, readKeys, type TopLevelRole } from './role-keys.ts'
import { readHashes, readTargetFile, type TargetFile } from './target-file.ts'
import { parseTime } from './timestamps.ts'

interface Common {
  readonly version: number
  readonly expiresMs: number
  /** The signed part as it was sent, unknown fields included. */
  readonly signed: JsonObject
}
export interface Root extends Common {
  readonly consistentSnapshot: boolean
  readonly keys: ReadonlyMap<string, PublicKey>
  readonly roles: Readonly<Record<TopLevelRole, KeySet>>
}
export interface Timestamp extends Common {
  readonly snapshot: MetaFile
}
export interface Snapshot extends Common {
  /** By file name, for example `targets.json`. */
  readonly meta: ReadonlyMap<string, MetaFile>
}
export interface Targets extends Common {
  readonly targets: ReadonlyMap<string, TargetFile>
  readonly delegations: Delegations | undefined
}

export interface MetaFile {
  readonly version: number
  readonly length: number | undefined
  /** Hex digests by algorithm; may be empty. */
  readonly hashes: ReadonlyMap<string, string>
}
const SPEC_MAJOR = '1'
const FILES_MAX = 100_000

/** Code `tuf.malformed`, as of the other readers. */
export function readRoot(signed: JsonObject): Result<Root> {
  return read(signed, 'root', (fields) => {
    const keys = readKeys(fields.child('keys'))
    const roles = fields.child('roles')
    const keySet = (role: TopLevelRole): KeySet => readKeySet(roles.child(role), keys)
    return {
      consistentSnapshot: fields.has('consistent_snapshot') && fields.flag('consistent_snapshot'),
      keys,
      roles: {
        root: keySet('root'),
        timestamp: keySet('timestamp'),
        snapshot: keySet('snapshot'),
        targets: keySet('targets'),
      },
    }
  })
}

export function readTimestamp(signed: JsonObject): Result<Timestamp> {
  return read(signed, 'timestamp', (fields) => ({
    snapshot: readMetaFile(fields.child('meta').child('snapshot.json')),
  }))
}

export function readSnapshot(signed: JsonObject): Result<Snapshot> {
  return read(signed, 'snapshot', (fields) => {
    const files = fields.child('meta')
    if (!files.has('targets.json')) files.flaw('targets.json', 'an entry')
    const entries = files.children(FILES_MAX)
    return { meta: new Map(entries.map(([name, file]) => [name, readMetaFile(file)])) }
  })
}

export function readTargets(signed: JsonObject): Result<Targets> {
  return read(signed, 'targets', (fields) => {
    const entries = fields.child('targets').children(FILES_MAX)
    return {
      targets: new Map(entries.map(([path, file]) => [path, readTargetFile(file)])),
      delegations: fields.has('delegations')
        ? readDelegations(fields.child('delegations'))
        : undefined,
    }
  })
}

function read<T>(
  signed: JsonObject,
  type: TopLevelRole,
  readRest: (fields: Fields) => T,
): Result<T & Common> {
  const flaws: string[] = []
  const fields = new Fields(signed, flaws)
  if (fields.text('_type') !== type) fields.flaw('_type', type)
  const [major, ...minor] = fields.text('spec_version').split('.')
  if (major !== SPEC_MAJOR || minor.length === 0) fields.flaw('spec_version', `${SPEC_MAJOR}.x`)
  const version = fields.integer('version', 1)
  const expiresMs = parseTime(fields.text('expires'))
  if (expiresMs === undefined) fields.flaw('expires', 'a time like 2030-01-01T00:00:00Z')
  const rest = readRest(fields)
  if (flaws.length > 0 || expiresMs === undefined) {
    const found = flaws.join('; ')
    return refuseTuf('tuf.malformed', `The ${type} metadata have not the expected form.`, { found })
  }
  return ok({ ...rest, version, expiresMs, signed })
}

function readMetaFile(fields: Fields): MetaFile {
  return {
    version: fields.integer('version', 1),
    length: fields.has('length') ? fields.integer('length', 1) : undefined,
    hashes: fields.has('hashes') ? readHashes(fields.child('hashes')) : new Map(),
  }
}
