/**
 * The publisher's side: metadata as data and files to write, for consistent snapshots (clause 6.2).
 * Invariant: what is published verifies; versions only grow. Offline roles (root, targets) and
 * online ones (snapshot, timestamp) are signed in separate steps, since their keys are on separate
 * machines. Where keys are kept and files are written is left to others.
 */
import { assert } from '../../kernel/assert.ts'
import { ok, type Result } from '../../kernel/result.ts'
import { sha256Hex } from '../../kernel/sha256.ts'
import type { ReleaseTarget } from '../../model/release-target.ts'
import { isJsonObject, type Json, type JsonObject, member } from '../canonical-json.ts'
import { envelopeBytes, openEnvelope, signEnvelope } from '../envelope.ts'
import { keyId, type PublicKey, type SyncSigner } from '../keys.ts'
import { LINNET_FIELD } from './director.ts'
import { defaultTufLimits, jsonLimits } from './limits.ts'
import type { TopLevelRole } from './role-keys.ts'
import { rolePath } from './store-layout.ts'
import { formatTime } from './timestamps.ts'

const SPEC_VERSION = '1.0.31'

/** The keys of a role, and how many of them must sign. */
export interface RolePlan {
  readonly keys: readonly PublicKey[]
  readonly threshold: number
}

export interface RootPlan {
  readonly version: number
  readonly expiresMs: number
  readonly roles: Readonly<Record<TopLevelRole, RolePlan>>
  /** Raise the epoch whenever the keys change. */
  readonly director?: RolePlan & { readonly directorEpoch: number }
}

/** A role that targets, or a delegated role, trusts for some paths. */
export interface DelegationPlan extends RolePlan {
  readonly name: string
  readonly paths: readonly string[]
  readonly terminating: boolean
}

/** A target as its metadata describe it. */
export interface TargetEntry {
  readonly path: string
  readonly length: number
  readonly sha256: string
  readonly custom?: JsonObject
}

/** A file of the metadata store; `path` is relative to the metadata base URL. */
export interface RepositoryFile {
  readonly path: string
  readonly bytes: Uint8Array
}

/** Signed by the keys of the root before it as well, when it replaces one. */
export function rootMetadata(plan: RootPlan): JsonObject {
  const { roles, director } = plan
  const plans = [...Object.values(roles), ...(director === undefined ? [] : [director])]
  return {
    ...common('root', plan),
    consistent_snapshot: true,
    keys: keysOf(plans),
    roles: {
      root: roleOf(roles.root),
      timestamp: roleOf(roles.timestamp),
      snapshot: roleOf(roles.snapshot),
      targets: roleOf(roles.targets),
    },
    ...(director === undefined
      ? {}
      : { [LINNET_FIELD]: { ...roleOf(director), directorEpoch: director.directorEpoch } }),
  }
}

export function targetsMetadata(plan: {
  readonly version: number
  readonly expiresMs: number
  readonly targets: readonly TargetEntry[]
  readonly delegations?: readonly DelegationPlan[]
}): JsonObject {
  const { targets, delegations } = plan
  return {
    ...common('targets', plan),
    targets: Object.fromEntries(targets.map((target) => [target.path, targetOf(target)])),
    ...(delegations === undefined ? {} : { delegations: delegationsOf(delegations) }),
  }
}

/**
 * The next version of targets metadata: everything stays but what is added, replaced or removed
 * (removal is revocation). Unknown fields stay too.
 */
export function nextTargets(
  signed: JsonObject,
  change: {
    readonly expiresMs: number
    readonly add?: readonly TargetEntry[]
    readonly remove?: readonly string[]
  },
): JsonObject {
  const { add = [], remove = [] } = change
  const targets = member(signed, 'targets')
  assert(isJsonObject(targets), 'targets metadata list targets')
  const kept = Object.entries(targets).filter(([path]) => !remove.includes(path))
  const added = add.map((target): [string, Json] => [target.path, targetOf(target)])
  return {
    ...signed,
    version: versionOf(signed) + 1,
    expires: formatTime(change.expiresMs),
    targets: Object.fromEntries([...kept, ...added]),
  }
}

/** The targets of a release: each of its files with the same signed facts. */
export function releaseTargets(
  release: ReleaseTarget,
  files: readonly { readonly file: string; readonly sha256: string; readonly length: number }[],
): readonly TargetEntry[] {
  const folder = `${release.model}/${release.version}`
  const { onRevoked, ...always } = release
  const custom: JsonObject = { ...always, ...(onRevoked && { onRevoked }) }
  return files.map(({ file, sha256, length }) => ({
    path: `${folder}/${file}`,
    length,
    sha256,
    custom,
  }))
}

/** The file of a signed role; code `json.not_canonical`. */
export function signRole(
  role: string,
  signed: JsonObject,
  signers: readonly SyncSigner[],
): Result<RepositoryFile> {
  const envelope = signEnvelope(signed, signers)
  if (!envelope.ok) return envelope
  const version = role === 'timestamp' ? undefined : versionOf(signed)
  return ok({ path: rolePath(role, version), bytes: envelopeBytes(envelope.value) })
}

/** Adds signatures of people who sign elsewhere; a key that signed already is replaced. */
export function addSignatures(
  bytes: Uint8Array,
  signers: readonly SyncSigner[],
): Result<Uint8Array> {
  const opened = openEnvelope(bytes, jsonLimits(defaultTufLimits.targetsBytesMax))
  if (!opened.ok) return opened
  const { signed, signatures } = opened.value
  const added = signEnvelope(signed, signers)
  if (!added.ok) return added
  const keyids = new Set(added.value.signatures.map(({ keyid }) => keyid))
  const kept = signatures.filter(({ keyid }) => !keyids.has(keyid))
  return ok(envelopeBytes({ signed, signatures: [...kept, ...added.value.signatures] }))
}

export interface OnlinePlan {
  /** The signed files of `targets` and of every delegated role, by role name. */
  readonly targets: ReadonlyMap<string, Uint8Array>
  readonly snapshot: OnlineRole
  readonly timestamp: OnlineRole
}
interface OnlineRole {
  readonly version: number
  readonly expiresMs: number
  readonly signers: readonly SyncSigner[]
}

/** Snapshot and timestamp over the given targets files; to be written in this order. */
export function signOnline(plan: OnlinePlan): Result<readonly RepositoryFile[]> {
  const meta: [string, Json][] = []
  for (const [role, bytes] of plan.targets) {
    const file = metaFileOf(bytes)
    if (!file.ok) return file
    meta.push([`${role}.json`, file.value])
  }
  const signed = { ...common('snapshot', plan.snapshot), meta: Object.fromEntries(meta) }
  const snapshot = signRole('snapshot', signed, plan.snapshot.signers)
  if (!snapshot.ok) return snapshot
  const timestamp = signTimestamp(snapshot.value.bytes, plan.timestamp)
  return timestamp.ok ? ok([snapshot.value, timestamp.value]) : timestamp
}

/** A new timestamp over the same snapshot: the re-signing that keeps a quiet repository fresh. */
export function signTimestamp(snapshot: Uint8Array, role: OnlineRole): Result<RepositoryFile> {
  const file = metaFileOf(snapshot)
  if (!file.ok) return file
  const signed = { ...common('timestamp', role), meta: { 'snapshot.json': file.value } }
  return signRole('timestamp', signed, role.signers)
}

function metaFileOf(bytes: Uint8Array): Result<JsonObject> {
  const opened = openEnvelope(bytes, jsonLimits(defaultTufLimits.targetsBytesMax))
  if (!opened.ok) return opened
  const hashes = { sha256: sha256Hex(bytes) }
  return ok({ version: versionOf(opened.value.signed), length: bytes.length, hashes })
}

function versionOf(signed: JsonObject): number {
  const version = member(signed, 'version')
  assert(typeof version === 'number', 'metadata have a version')
  return version
}

function common(
  type: TopLevelRole,
  plan: { readonly version: number; readonly expiresMs: number },
): JsonObject {
  return {
    _type: type,
    spec_version: SPEC_VERSION,
    version: plan.version,
    expires: formatTime(plan.expiresMs),
  }
}

function keysOf(plans: readonly RolePlan[]): JsonObject {
  const keys = plans.flatMap((plan) => plan.keys)
  return Object.fromEntries(
    keys.map(({ keytype, scheme, keyval }) => {
      const key = { keytype, scheme, keyval: { public: keyval.public } }
      return [keyId(key), key]
    }),
  )
}

function roleOf({ keys, threshold }: RolePlan): JsonObject {
  return { keyids: keys.map(keyId), threshold }
}

export function delegationsOf(plans: readonly DelegationPlan[]): JsonObject {
  const roles = plans.map((plan) => ({
    ...roleOf(plan),
    name: plan.name,
    paths: plan.paths,
    terminating: plan.terminating,
  }))
  return { keys: keysOf(plans), roles }
}

function targetOf({ length, sha256, custom }: TargetEntry): JsonObject {
  return { length, hashes: { sha256 }, ...(custom === undefined ? {} : { custom }) }
}
