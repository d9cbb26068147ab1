/**
 * The client workflow of the TUF specification 1.0, section 5, clause by clause. Invariant: a file
 * becomes trusted only when all checks of its clause hold, and is persisted only then; whatever is
 * refused leaves the trusted files as they were. Searching delegations and checking targets is
 * `search.ts`; time is passed in (clause 5.1).
 */
import { ok, type Result } from '../../kernel/result.ts'
import { isSignedBy, type KeySet, type OpenedEnvelope, openEnvelope } from '../envelope.ts'
import { checked, type FetchReply, fetchFile, forget, load, persist, type Tuf } from './effects.ts'
import { defaultTufLimits, jsonLimits, type TufLimits } from './limits.ts'
import {
  type MetaFile,
  type Root,
  readRoot,
  readSnapshot,
  readTargets,
  readTimestamp,
  type Snapshot,
  type Targets,
  type Timestamp,
} from './metadata.ts'
import { refuseTuf } from './problems.ts'
import {
  lostKey,
  requireFresh,
  requireNoneOlder,
  requireNotOlder,
  requireVersion,
} from './requirements.ts'
import { rolePath } from './store-layout.ts'
import { checkFile } from './target-file.ts'

/** What a device trusts after a refresh. */
export interface TrustedSet {
  readonly root: Root
  readonly timestamp: Timestamp
  readonly snapshot: Snapshot
  readonly targets: Targets
  /** The fixed start time of the update (clause 5.1). */
  readonly nowMs: number
  readonly limits: TufLimits
}

/** What looking for targets takes of it. */
export type TrustedTargets = Omit<TrustedSet, 'timestamp'>

/**
 * Brings root, timestamp, snapshot and targets up to date. Codes: `tuf.*` of `problems.ts`.
 * @param nowMs clause 5.1: the time is fixed when the update begins.
 */
export function* refresh(
  nowMs: number,
  limits: TufLimits = defaultTufLimits,
): Tuf<Result<TrustedSet>> {
  const root = yield* followRoots(limits)
  if (!root.ok) return root
  // 5.3.10: a freeze attack?
  const fresh = requireFresh(root.value, nowMs, 'root')
  if (!fresh.ok) return fresh
  const timestamp = yield* updateTimestamp(root.value, nowMs, limits)
  if (!timestamp.ok) return timestamp
  const snapshot = yield* updateSnapshot(root.value, timestamp.value, nowMs, limits)
  if (!snapshot.ok) return snapshot
  const trust = { root: root.value, snapshot: snapshot.value, nowMs, limits }
  const targets = yield* updateTargets('targets', root.value.roles.targets, trust)
  if (!targets.ok) return targets
  return ok({ ...trust, timestamp: timestamp.value, targets: targets.value })
}

/** Clause 5.2: the root that came with the device, or the last one trusted. */
export function* loadRoot(limits: TufLimits = defaultTufLimits): Tuf<Result<Root>> {
  const bytes = yield* load('root')
  if (bytes === undefined) {
    return refuseTuf('tuf.no_trusted_root', 'There is no trusted root.', {
      next: 'give the device the root of the publisher',
    })
  }
  const opened = openEnvelope(bytes, jsonLimits(limits.rootBytesMax))
  if (!opened.ok) return opened
  const root = readRoot(opened.value.signed)
  if (!root.ok) return root
  const signed = yield* requireSigned(opened.value, root.value.roles.root, 'root')
  return signed.ok ? root : signed
}

/**
 * Clause 5.3 but for 5.3.10: the chain of roots, which takes no time to follow. Whoever wants to know
 * what time it is may have to ask who may tell it first.
 */
export function* followRoots(limits: TufLimits = defaultTufLimits): Tuf<Result<Root>> {
  const initial = yield* loadRoot(limits)
  if (!initial.ok) return initial
  let root = initial.value
  // 5.3.2 and 5.3.9: from version N on, one by one, until there is no N+1.
  for (let rotations = 0; ; rotations++) {
    // 5.3.3: download N+1, up to W bytes, at most Y times. Stricter than the clause, which would go
    // on with a root that is known to be old; the next update takes it up from here.
    const path = rolePath('root', root.version + 1)
    if (rotations > limits.rootRotationsMax) {
      return refuseTuf('tuf.too_many_roots', 'There are more new roots than one update follows.', {
        expected: `at most ${limits.rootRotationsMax}`,
      })
    }
    const reply = yield* fetchFile(path, limits.rootBytesMax)
    if (reply.kind === 'absent') break
    if (reply.kind === 'failed') return { ok: false, error: reply.problem }
    const next = yield* acceptRoot(reply.bytes, root, limits)
    if (!next.ok) return next
    // 5.3.11: recovery from fast-forward attacks. Before the root is kept, since afterwards neither
    // a crash nor an expired root would leave a trace of the keys that went.
    if (lostKey(root, next.value)) {
      yield* forget('timestamp')
      yield* forget('snapshot')
    }
    // 5.3.7 and 5.3.8.
    root = next.value
    yield* persist('root', reply.bytes)
  }
  // 5.3.12: consistent snapshots as this root says.
  return ok(root)
}

/** Clauses 5.3.4 and 5.3.5: is this the root after `trusted`? */
function* acceptRoot(bytes: Uint8Array, trusted: Root, limits: TufLimits): Tuf<Result<Root>> {
  const opened = openEnvelope(bytes, jsonLimits(limits.rootBytesMax))
  if (!opened.ok) return opened
  // 5.3.4: a threshold of the keys of version N, and of the keys of version N+1.
  const byOld = yield* requireSigned(opened.value, trusted.roles.root, 'root')
  if (!byOld.ok) return byOld
  const next = readRoot(opened.value.signed)
  if (!next.ok) return next
  const byNew = yield* requireSigned(opened.value, next.value.roles.root, 'root')
  if (!byNew.ok) return byNew
  // 5.3.5: precisely the version that follows: neither rolled back nor left out.
  const { version } = next.value
  if (version !== trusted.version + 1) {
    return refuseTuf('tuf.rollback', 'The root is not the one that follows.', {
      expected: `version ${trusted.version + 1}`,
      found: `version ${version}`,
    })
  }
  return next
}

/** Clause 5.4. */
function* updateTimestamp(root: Root, nowMs: number, limits: TufLimits): Tuf<Result<Timestamp>> {
  const limit = jsonLimits(limits.timestampBytesMax)
  const keySet = root.roles.timestamp
  // The trusted one, expired or not; one that root no longer vouches for is none.
  const stored = yield* load('timestamp')
  const old = stored === undefined ? undefined : openEnvelope(stored, limit)
  const vouched = old?.ok && (yield* checked(isSignedBy(old.value, keySet)))
  const trusted = vouched ? readTimestamp(old.value.signed) : undefined
  // 5.4.1: download, up to X bytes.
  const reply = yield* fetchFile(rolePath('timestamp', undefined), limits.timestampBytesMax)
  if (reply.kind !== 'fetched') return unavailable(reply, 'timestamp')
  // 5.4.2: arbitrary software?
  const opened = openEnvelope(reply.bytes, limit)
  if (!opened.ok) return opened
  const signed = yield* requireSigned(opened.value, keySet, 'timestamp')
  if (!signed.ok) return signed
  const next = readTimestamp(opened.value.signed)
  if (!next.ok) return next
  // 5.4.3.1 and 5.4.3.2: rollback?
  if (trusted?.ok) {
    const { version, snapshot } = trusted.value
    const older =
      requireNotOlder(next.value.version, version, 'timestamp') ??
      requireNotOlder(next.value.snapshot.version, snapshot.version, 'snapshot in the timestamp')
    // The same version: nothing is new, and the content that is trusted stays.
    if (next.value.version === version) {
      const fresh = requireFresh(trusted.value, nowMs, 'timestamp')
      return fresh.ok ? trusted : fresh
    }
    if (older !== undefined) return older
  }
  // 5.4.4: a freeze attack?
  const fresh = requireFresh(next.value, nowMs, 'timestamp')
  if (!fresh.ok) return fresh
  // 5.4.5.
  yield* persist('timestamp', reply.bytes)
  return next
}

/** Clause 5.5. */
function* updateSnapshot(
  root: Root,
  timestamp: Timestamp,
  nowMs: number,
  limits: TufLimits,
): Tuf<Result<Snapshot>> {
  const expected = timestamp.snapshot
  const limit = jsonLimits(limits.snapshotBytesMax)
  const keySet = root.roles.snapshot
  const stored = yield* load('snapshot')
  const old = stored === undefined ? undefined : openEnvelope(stored, limit)
  const vouched = old?.ok && (yield* checked(isSignedBy(old.value, keySet)))
  const trusted = vouched ? readSnapshot(old.value.signed) : undefined
  if (trusted?.ok && stored !== undefined && isCurrent(trusted.value, stored, expected, nowMs)) {
    return trusted
  }
  // 5.5.1: download, up to the signed length or Y bytes.
  const path = rolePath('snapshot', root.consistentSnapshot ? expected.version : undefined)
  const reply = yield* fetchFile(path, bytesMaxOf(expected, limits.snapshotBytesMax))
  if (reply.kind !== 'fetched') return unavailable(reply, 'snapshot')
  // 5.5.2 to 5.5.4.
  const opened = yield* openListed(reply.bytes, expected, keySet, 'snapshot', limit.bytesMax)
  if (!opened.ok) return opened
  const next = readSnapshot(opened.value.signed)
  if (!next.ok) return next
  const listed = requireVersion(next.value.version, expected.version, 'snapshot')
  if (!listed.ok) return listed
  // 5.5.5: rollback of any targets metadata?
  const kept = trusted?.ok ? requireNoneOlder(trusted.value, next.value) : ok()
  if (!kept.ok) return kept
  // 5.5.6: a freeze attack?
  const fresh = requireFresh(next.value, nowMs, 'snapshot')
  if (!fresh.ok) return fresh
  // 5.5.7.
  yield* persist('snapshot', reply.bytes)
  return next
}

/**
 * Clause 5.6, for the top-level targets role and, in the search of 5.6.7, for delegated ones.
 * @param keySet the keys that root or the delegating role names for it.
 */
export function* updateTargets(
  role: string,
  keySet: KeySet,
  trust: Pick<TrustedSet, 'root' | 'snapshot' | 'nowMs' | 'limits'>,
): Tuf<Result<Targets>> {
  const { root, snapshot, nowMs, limits } = trust
  const expected = snapshot.meta.get(`${role}.json`)
  if (expected === undefined) {
    return refuseTuf('tuf.mix_and_match', `The snapshot does not list the role ${role}.`)
  }
  const bytesMax = bytesMaxOf(expected, limits.targetsBytesMax)
  const stored = yield* load(role)
  if (stored !== undefined) {
    const trusted = yield* openTargets(stored, expected, keySet, role, bytesMax, nowMs)
    if (trusted.ok) return trusted
  }
  // 5.6.1: download, up to the signed length or Z bytes.
  const path = rolePath(role, root.consistentSnapshot ? expected.version : undefined)
  const reply = yield* fetchFile(path, bytesMax)
  if (reply.kind !== 'fetched') return unavailable(reply, role)
  const next = yield* openTargets(reply.bytes, expected, keySet, role, bytesMax, nowMs)
  // 5.6.6.
  if (next.ok) yield* persist(role, reply.bytes)
  return next
}

function* openTargets(
  bytes: Uint8Array,
  expected: MetaFile,
  keySet: KeySet,
  role: string,
  bytesMax: number,
  nowMs: number,
): Tuf<Result<Targets>> {
  // 5.6.2 and 5.6.3.
  const opened = yield* openListed(bytes, expected, keySet, role, bytesMax)
  if (!opened.ok) return opened
  const targets = readTargets(opened.value.signed)
  if (!targets.ok) return targets
  // 5.6.4: as the snapshot says?
  const listed = requireVersion(targets.value.version, expected.version, role)
  if (!listed.ok) return listed
  // 5.6.5: a freeze attack?
  const fresh = requireFresh(targets.value, nowMs, role)
  return fresh.ok ? targets : fresh
}

/** Clauses 5.5.2 and 5.6.2 (length and hashes as listed), then 5.5.3 and 5.6.3 (signatures). */
function* openListed(
  bytes: Uint8Array,
  expected: MetaFile,
  keySet: KeySet,
  role: string,
  bytesMax: number,
): Tuf<Result<OpenedEnvelope>> {
  const listed = checkFile(bytes, expected, `${role} metadata`)
  if (!listed.ok) return listed
  const opened = openEnvelope(bytes, jsonLimits(bytesMax))
  if (!opened.ok) return opened
  const signed = yield* requireSigned(opened.value, keySet, role)
  return signed.ok ? opened : signed
}

function* requireSigned(
  opened: OpenedEnvelope,
  keySet: KeySet,
  role: string,
): Tuf<Result<undefined>> {
  if (yield* checked(isSignedBy(opened, keySet))) return ok()
  return refuseTuf('tuf.signature', `The ${role} metadata are not signed by enough trusted keys.`, {
    expected: `${keySet.threshold} of ${keySet.keys.size} keys`,
    found: `${opened.signatures.length} signatures`,
  })
}

/** May the stored snapshot stay? Then nothing need be downloaded. */
function isCurrent(
  snapshot: Snapshot,
  bytes: Uint8Array,
  expected: MetaFile,
  nowMs: number,
): boolean {
  const same = snapshot.version === expected.version && snapshot.expiresMs > nowMs
  return same && checkFile(bytes, expected, 'snapshot metadata').ok
}

function bytesMaxOf(expected: MetaFile, bytesMax: number): number {
  return Math.min(expected.length ?? bytesMax, bytesMax)
}

function unavailable(reply: Exclude<FetchReply, { kind: 'fetched' }>, role: string): Result<never> {
  if (reply.kind === 'failed') return { ok: false, error: reply.problem }
  return refuseTuf('tuf.unavailable', `The repository has no ${role} metadata as listed.`)
}
