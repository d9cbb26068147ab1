/**
 * Whether an uploaded root may be served: what a TUF client would check before it trusts it
 * (specification 1.0, clause 5.3), and that it names this controller's keys, since nothing could be
 * signed online otherwise. Targets are role-uploads.ts, storing and serving is repository.ts.
 *
 * A root under which the served targets lack signatures is no mistake but unfinished: served now it
 * would stop every client, so it waits for the targets that its publishers sign.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { isSignedBy, type KeySet, openEnvelope } from '../../shared/signing/envelope.ts'
import { checkSync, keyIdentity, type SyncVerifier } from '../../shared/signing/keys.ts'
import { directorOf } from '../../shared/signing/tuf/director.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import { type Root, readRoot } from '../../shared/signing/tuf/metadata.ts'
import { refuseTuf } from '../../shared/signing/tuf/problems.ts'
import { requireFresh } from '../../shared/signing/tuf/requirements.ts'
import { ONLINE_ROLES, type OnlineKeys, type OnlineSigners } from './online-keys.ts'

export interface CheckedRoot {
  readonly root: Root
  readonly bytes: Uint8Array
  readonly signers: OnlineSigners
}

interface Checks {
  readonly verifier: SyncVerifier
  readonly keys: Pick<OnlineKeys, 'signers' | 'next'>
  readonly nowMs: number
}

/**
 * Clause 5.3: signed by a threshold of its own keys and of those of the root before, and exactly the
 * next version. Errors: `tuf.*`, `json.*`, `envelope.malformed`, `root.online_keys`,
 * `root.director_epoch`.
 */
export function checkRoot(
  bytes: Uint8Array,
  current: Root | undefined,
  checks: Checks,
): Result<CheckedRoot> {
  const opened = openEnvelope(bytes, jsonLimits(defaultTufLimits.rootBytesMax))
  if (!opened.ok) return opened
  const root = readRoot(opened.value.signed)
  if (!root.ok) return root
  for (const keySet of [current?.roles.root, root.value.roles.root]) {
    if (keySet === undefined) continue
    if (!checkSync(isSignedBy(opened.value, keySet), checks.verifier)) {
      return refuseTuf('tuf.signature', 'The root is not signed by enough of its keys.', {
        expected: `${keySet.threshold} of ${keySet.keys.size} root keys, of both versions`,
        next: 'linnet release sign',
      })
    }
  }
  const expected = (current?.version ?? 0) + 1
  if (root.value.version !== expected) {
    return refuseTuf('tuf.rollback', 'The root is not the one that follows.', {
      expected: `version ${expected}`,
      found: `version ${root.value.version}`,
    })
  }
  if (!root.value.consistentSnapshot) {
    return refuseTuf('tuf.malformed', 'The repository needs consistent snapshots.', {
      expected: 'consistent_snapshot: true',
    })
  }
  const fresh = requireFresh(root.value, checks.nowMs, 'root')
  if (!fresh.ok) return fresh
  const director = checkDirector(root.value, current)
  if (!director.ok) return director
  const signers = checkOnlineKeys(root.value, checks.keys)
  return signers.ok ? ok({ root: root.value, bytes, signers: signers.value }) : signers
}

/** Whether enough publishers of the root signed these targets. */
export function isEnoughFor(root: Root, targets: Uint8Array, verifier: SyncVerifier): boolean {
  const opened = openEnvelope(targets, jsonLimits(defaultTufLimits.targetsBytesMax))
  return opened.ok && checkSync(isSignedBy(opened.value, root.roles.targets), verifier)
}

/** A thief may have signed the largest generation: other keys need a higher epoch. */
function checkDirector(root: Root, current: Root | undefined): Result<undefined> {
  const next = directorOf(root)
  if (!next.ok) return next
  const before = current === undefined ? undefined : directorOf(current)
  if (!before?.ok) return ok()
  const identities = ({ keys }: KeySet) => [...keys.values()].map(keyIdentity).toSorted().join()
  const isSame = identities(next.value) === identities(before.value)
  const epochMin = before.value.directorEpoch + (isSame ? 0 : 1)
  if (next.value.directorEpoch >= epochMin) return ok()
  return refuse('root.director_epoch', 'The root changes the director and keeps its epoch.', {
    expected: `a directorEpoch of at least ${epochMin}`,
    found: String(next.value.directorEpoch),
    next: 'linnet key rotate --director',
  })
}

function checkOnlineKeys(root: Root, keys: Checks['keys']): Result<OnlineSigners> {
  for (const signers of [keys.signers(), keys.next()]) {
    if (signers !== undefined && namesKeys(root, signers)) return ok(signers)
  }
  return refuse('root.online_keys', 'The root does not name the keys of this controller.', {
    expected: `its ${ONLINE_ROLES.join(', ')} keys, each with threshold 1`,
    next: 'linnet key rotate --director --snapshot --timestamp, after comparing its keys',
  })
}

/** Whether these keys alone can sign what the root asks of the online roles. */
export function namesKeys(root: Root, signers: OnlineSigners): boolean {
  const director = directorOf(root)
  if (!director.ok) return false
  const sets = { ...root.roles, director: director.value }
  return ONLINE_ROLES.every((role) => {
    const { keys, threshold } = sets[role]
    const identity = keyIdentity(signers[role].key)
    return threshold === 1 && [...keys.values()].some((key) => keyIdentity(key) === identity)
  })
}
