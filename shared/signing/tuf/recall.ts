/**
 * What was trusted when the last process ended, however old: root, snapshot and targets as they lie
 * here, under the signatures that root asks for. It tells what may never be forgotten, such as which
 * releases the publishers no longer list; nothing new is taken by it, which needs a refresh.
 */
import { ok, type Result } from '../../kernel/result.ts'
import { isSignedBy, type KeySet, openEnvelope } from '../envelope.ts'
import { loadRoot, type TrustedTargets } from './client.ts'
import { checked, load, type Tuf } from './effects.ts'
import { defaultTufLimits, jsonLimits } from './limits.ts'
import { readSnapshot, readTargets } from './metadata.ts'
import { refuseTuf } from './problems.ts'

/** Nothing counts as expired: what these metadata told stays told. */
const WHENEVER_MS = 0

/** Codes `tuf.*`; `tuf.unavailable` where no refresh has ever ended. */
export function* recallTargets(): Tuf<Result<TrustedTargets>> {
  const limits = defaultTufLimits
  const root = yield* loadRoot(limits)
  if (!root.ok) return root
  const { roles } = root.value
  const snapshot = yield* recallRole('snapshot', roles.snapshot, limits.snapshotBytesMax)
  if (!snapshot.ok) return snapshot
  const targets = yield* recallRole('targets', roles.targets, limits.targetsBytesMax)
  if (!targets.ok) return targets
  const [readOfSnapshot, readOfTargets] = [readSnapshot(snapshot.value), readTargets(targets.value)]
  if (!readOfSnapshot.ok) return readOfSnapshot
  if (!readOfTargets.ok) return readOfTargets
  const found = { root: root.value, snapshot: readOfSnapshot.value, targets: readOfTargets.value }
  return ok({ ...found, nowMs: WHENEVER_MS, limits })
}

/** The `signed` part of the file that is kept for a role. */
function* recallRole(role: string, keySet: KeySet, bytesMax: number) {
  const bytes = yield* load(role)
  if (bytes === undefined) return refuseTuf('tuf.unavailable', `There is no ${role} file here.`)
  const opened = openEnvelope(bytes, jsonLimits(bytesMax))
  if (!opened.ok) return opened
  if (yield* checked(isSignedBy(opened.value, keySet))) return ok(opened.value.signed)
  return refuseTuf('tuf.signature', `The ${role} file that lies here has other keys' signatures.`)
}
