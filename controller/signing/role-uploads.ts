/**
 * Whether uploaded targets and delegated roles may be served. Together with what is served already
 * they are put before the TUF client itself (clauses 5.6 and 5.6.7): whatever it would refuse, a
 * device would refuse, so it never gets that far. Storing and serving is repository.ts.
 *
 * A delegated role that lacks signatures is no mistake but unfinished: it waits for the others.
 */
import { ok, type Result, refuse, unwrap } from '../../shared/kernel/result.ts'
import {
  isSignedBy,
  type KeySet,
  type OpenedEnvelope,
  openEnvelope,
} from '../../shared/signing/envelope.ts'
import { checkSync, keyIdentity, type SyncVerifier } from '../../shared/signing/keys.ts'
import type { TrustedTargets } from '../../shared/signing/tuf/client.ts'
import { runTufSync, type SyncTufPorts } from '../../shared/signing/tuf/effects.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import {
  type MetaFile,
  type Root,
  readTargets,
  type Snapshot,
  type Targets,
} from '../../shared/signing/tuf/metadata.ts'
import { refuseTuf } from '../../shared/signing/tuf/problems.ts'
import { requireFresh } from '../../shared/signing/tuf/requirements.ts'
import { roleFileName, rolePath } from '../../shared/signing/tuf/store-layout.ts'
import type { TargetFile } from '../../shared/signing/tuf/target-file.ts'
import { type Walk, type WalkedRole, walkRoles } from '../../shared/signing/tuf/walk.ts'

export interface RoleFile {
  readonly role: string
  readonly bytes: Uint8Array
  readonly version: number
}

/** A delegated role that more of its keys have to sign. */
export interface WaitingRole extends RoleFile {
  readonly signatures: number
  readonly threshold: number
}

/** A target that a client would find, and who vouches for it. */
export interface VouchedTarget {
  readonly file: TargetFile
  readonly role: WalkedRole
}

export interface CheckedRoles {
  /** To be stored and served. */
  readonly files: readonly RoleFile[]
  readonly waiting: readonly WaitingRole[]
  readonly walk: Walk
  /** By path: what a search finds. */
  readonly found: ReadonlyMap<string, VouchedTarget>
  /** Key ids whose signatures over a role hold. */
  readonly signedBy: (role: string) => readonly string[]
}

export interface RoleChecks {
  readonly root: Root
  readonly verifier: SyncVerifier
  readonly nowMs: number
  /** The newest file of each role, served now or before. */
  readonly current: ReadonlyMap<string, RoleFile>
  /** What devices may look for: a target of each release that is not revoked. */
  readonly lookedFor: readonly string[]
  /** The same of those that are: devices must learn that they are, as soon as a role can say so. */
  readonly revoked: readonly string[]
  /** Somebody signed the role's metadata, which wait for others. */
  readonly isWaiting: (role: string) => boolean
}

/** As one file name below the metadata URL. */
const NAME = /^[A-Za-z0-9_-]{1,80}$/

interface Opened extends RoleFile {
  readonly envelope: OpenedEnvelope
  readonly targets: Targets
}

/**
 * Each file must be the next version of its role, signed by enough of the role's keys and fresh; it
 * lists only what its role is trusted for. Errors: `tuf.*`, `json.*`, `envelope.malformed`,
 * `delegation.unknown`, `.name`, `.path`, `.missing`.
 */
export function checkRoles(
  uploads: ReadonlyMap<string, Uint8Array>,
  checks: RoleChecks,
): Result<CheckedRoles> {
  const { root, current, nowMs } = checks
  const [files, waiting]: [Opened[], WaitingRole[]] = [[], []]
  const topBytes = uploads.get('targets') ?? current.get('targets')?.bytes
  if (topBytes === undefined) return refuseTuf('tuf.unavailable', 'There are no targets yet.')
  const top = open('targets', topBytes)
  if (!top.ok) return top
  const delegated = top.value.targets.delegations?.roles ?? []
  for (const [role, bytes] of uploads) {
    const keySet = role === 'targets' ? root.roles.targets : keysOf(role, delegated)
    const opened = role === 'targets' ? top : open(role, bytes)
    if (!opened.ok) return opened
    const signatures = keySet && signersOf(opened.value.envelope, keySet, checks.verifier).length
    if (keySet !== undefined && (signatures ?? 0) < keySet.threshold) {
      if (role === 'targets' || signatures === 0) {
        return unsigned(role, keySet, opened.value.envelope)
      }
    }
    const next = requireNext(opened.value, current.get(role)?.version ?? 0, nowMs)
    if (!next.ok) return next
    const isShort =
      keySet !== undefined && signatures !== undefined && signatures < keySet.threshold
    if (isShort) {
      waiting.push({ ...fileOf(opened.value), signatures, threshold: keySet.threshold })
    } else files.push(opened.value)
  }
  return rehearse(top.value, files, waiting, checks)
}

/** What a client makes of it, as of now. */
function rehearse(
  top: Opened,
  files: readonly Opened[],
  waiting: readonly WaitingRole[],
  checks: RoleChecks,
): Result<CheckedRoles> {
  const served = new Map(checks.current)
  for (const { role, bytes, version } of files) served.set(role, { role, bytes, version })
  const walk = walkServed(served, top.targets, checks)
  if (!walk.ok) {
    const next = 'its keys sign it anew: linnet release sign --renew --role ROLE, then publish both'
    return { ok: false, error: { next, ...walk.error } }
  }
  const { roles } = walk.value
  const [unnameable] = [...roles, ...walk.value.missing].filter(({ name }) => !NAME.test(name))
  if (unnameable !== undefined) {
    return refuse('delegation.name', 'A delegated role cannot be served under this name.', {
      expected: 'letters, digits, - and _, at most 80',
      found: unnameable.name.slice(0, 80),
    })
  }
  const lost = files.find(({ role }) => !roles.some(({ name }) => name === role))
  if (lost !== undefined) {
    return refuse('delegation.unknown', `Nobody delegates to a role ${lost.role.slice(0, 80)}.`, {
      expected: roles.map(({ name }) => name).join(', '),
      found: lost.role.slice(0, 80),
      next: 'linnet key show',
    })
  }
  for (const role of roles) {
    const stray = [...role.targets.targets.keys()].find((path) => !role.trustsPath(path))
    if (stray !== undefined) return notTrusted(role, stray)
  }
  const found = findAll(roles)
  const isWaiting = (name: string) =>
    waiting.some(({ role }) => role === name) || checks.isWaiting(name)
  const unsigned = walk.value.missing.filter(({ name }) => !isWaiting(name))
  const searches = [
    requireSearchable(walk.value, found, checks.lookedFor),
    requireSearchable({ ...walk.value, missing: unsigned }, found, checks.revoked),
  ]
  const hidden = searches.find(({ ok }) => !ok)
  if (hidden?.ok === false) return hidden
  const signedBy = (name: string): readonly string[] => {
    const role = roles.find((other) => other.name === name)
    const file = served.get(name)
    if (role === undefined || file === undefined) return []
    const keySet = role.delegation?.keySet ?? checks.root.roles.targets
    return signersOf(unwrap(open(name, file.bytes)).envelope, keySet, checks.verifier)
  }
  const shown = files.map(fileOf)
  return ok({ files: shown, waiting, walk: walk.value, found, signedBy })
}

/**
 * A search that comes to a role without metadata fails: a device would not find what a later role has,
 * nor learn that a release was taken back. Below a model that never had a release nobody searches.
 */
function requireSearchable(
  { roles, missing }: Walk,
  found: CheckedRoles['found'],
  lookedFor: readonly string[],
): Result<undefined> {
  for (const path of new Set([...found.keys(), ...lookedFor])) {
    const vouched = found.get(path)
    const at = vouched === undefined ? roles.length : roles.indexOf(vouched.role)
    const role = missing.find(({ trustsPath, before }) => trustsPath(path) && before <= at)
    if (role === undefined) continue
    return refuse('delegation.missing', `The role ${role.name} has signed nothing yet.`, {
      expected: `its first metadata: a search for ${path.slice(0, 160)} comes to it first`,
      found: 'a delegation alone',
      next: `its keys sign first: linnet release cosign --role ${role.name} where that waits, else linnet release sign --renew --role ${role.name}; then linnet release publish`,
    })
  }
  return ok()
}

/**
 * The roles as a client walks them, over files that are named by role. Nothing expires here: what one
 * publisher forgot to renew must not stop another, nor count as revoked.
 */
export function walkServed(
  served: ReadonlyMap<string, RoleFile>,
  targets: Targets,
  { root, verifier }: Pick<RoleChecks, 'root' | 'verifier'>,
): Result<Walk> {
  const files = [...served.values()]
  const meta = files.map(({ role, bytes, version }): [string, MetaFile] => [
    `${role}.json`,
    { version, length: bytes.length, hashes: new Map() },
  ])
  const snapshot: Snapshot = { version: 1, expiresMs: Infinity, signed: {}, meta: new Map(meta) }
  const paths = new Map(files.map(({ role, bytes, version }) => [rolePath(role, version), bytes]))
  const ports: SyncTufPorts = {
    verifier,
    load: () => undefined,
    persist: () => undefined,
    forget: () => undefined,
    fetch(path) {
      const bytes = paths.get(path)
      return bytes === undefined ? { kind: 'absent' } : { kind: 'fetched', bytes }
    },
  }
  const trusted: TrustedTargets = { root, snapshot, targets, nowMs: 0, limits: defaultTufLimits }
  return runTufSync(walkRoles(trusted), ports)
}

/**
 * By path, the role in which a search stops. A terminating delegation hides what comes after it, as
 * clause 5.6.7.2.1 says.
 */
export function findAll(roles: readonly WalkedRole[]): Map<string, VouchedTarget> {
  const found = new Map<string, VouchedTarget>()
  for (const role of roles) {
    for (const [path, file] of role.targets.targets) {
      if (!found.has(path) && !isHidden(path, role, roles)) found.set(path, { file, role })
    }
  }
  return found
}

/** An earlier role that ends the search for the path, and is not on the way to this one. */
function isHidden(path: string, role: WalkedRole, roles: readonly WalkedRole[]): boolean {
  const before = roles.slice(0, roles.indexOf(role))
  return before.some(
    ({ name, delegation, trustsPath }) =>
      delegation?.terminating === true && trustsPath(path) && !role.chain.includes(name),
  )
}

function open(role: string, bytes: Uint8Array): Result<Opened> {
  const envelope = openEnvelope(bytes, jsonLimits(defaultTufLimits.targetsBytesMax))
  if (!envelope.ok) return envelope
  const targets = readTargets(envelope.value.signed)
  if (!targets.ok) return targets
  const { version } = targets.value
  return ok({ role, bytes, version, envelope: envelope.value, targets: targets.value })
}

function fileOf({ role, bytes, version }: RoleFile): RoleFile {
  return { role, bytes, version }
}

function keysOf(
  role: string,
  delegated: readonly { readonly name: string; readonly keySet: KeySet }[],
): KeySet | undefined {
  return delegated.find(({ name }) => name === role)?.keySet
}

function unsigned(role: string, keySet: KeySet, envelope: OpenedEnvelope): Result<never> {
  return refuseTuf('tuf.signature', `The ${role} are not signed by enough publishers.`, {
    expected: `${keySet.threshold} of ${keySet.keys.size} keys of ${role}`,
    found: `${envelope.signatures.length} signatures`,
    next: role === 'targets' ? 'linnet release sign' : `linnet release sign --role ${role}`,
  })
}

function requireNext({ role, targets }: Opened, current: number, nowMs: number): Result<undefined> {
  if (targets.version === current + 1) return requireFresh(targets, nowMs, role)
  return refuseTuf('tuf.rollback', `The ${role} are not made from the newest ones.`, {
    expected: `version ${current + 1}`,
    found: `version ${targets.version}`,
    next: `linnet release sign --renew${role === 'targets' ? '' : ` --role ${role}`}, or the release by its name; then linnet release publish`,
  })
}

function notTrusted({ name, delegation }: WalkedRole, path: string): Result<never> {
  return refuse('delegation.path', `The role ${name} may not sign ${path.slice(0, 160)}.`, {
    expected: `a target like ${delegation?.paths.join(', ') ?? '*'}`,
    found: path.slice(0, 160),
    next: `sign it with a key that may, or: linnet key delegate`,
  })
}

/** Ids of the keys whose signatures hold, each key once. */
function signersOf(opened: OpenedEnvelope, { keys }: KeySet, verifier: SyncVerifier): string[] {
  const holds = [...keys].filter(([keyid, key]) =>
    checkSync(isSignedBy(opened, { keys: new Map([[keyid, key]]), threshold: 1 }), verifier),
  )
  const once = new Map(holds.map(([keyid, key]) => [keyIdentity(key), keyid]))
  return [...once.values()]
}

/** The name under which a role that waits for signatures can be fetched; no snapshot lists it. */
export function waitingFile(role: string): string {
  return `waiting.${roleFileName(role)}`
}
