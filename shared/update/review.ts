/**
 * What a look at fresh release metadata changes on a device: an epoch of the director that ends what
 * the former one asked for, releases that the publishers withdrew, metadata that have expired.
 *
 * Invariant: expiry never stops what serves, and neither does a new epoch; a withdrawn release gives
 * way to the one before it, and where nothing is left the publishers' own policy decides.
 */

import type { Problem } from '../kernel/result.ts'
import { attackOf } from '../model/attack.ts'
import type { DeviceNotice } from '../model/device.ts'
import { releaseName } from '../model/names.ts'
import { withoutRelease } from './broken.ts'
import { installedReleases, sameRelease } from './slots.ts'
import type { DeviceState, DurableState, ReleaseRef, Review } from './state.ts'

const SUBJECT_CHARS_MAX = 160

export interface Reviewed {
  readonly state: DeviceState
  /** Without their time. */
  readonly notices: readonly DeviceNotice[]
  /** True when slots or desired state changed: arrange and store them. */
  readonly moved: boolean
}

export function applyReview(before: DeviceState, review: Review, nowMs: number): Reviewed {
  const notices: DeviceNotice[] = []
  const recovered = forgetFormerDirector(before, review.directorEpoch)
  const durable = withoutRevoked(recovered.durable, review, nowMs, notices)
  const frozen = review.frozen !== null
  if (review.frozen !== null && !before.frozen) {
    notices.push(noticeOf('frozen', 'release metadata', review.frozen, nowMs))
  }
  return { state: { ...recovered, durable, frozen }, notices, moved: durable !== before.durable }
}

/**
 * The former director's key may be in the hands of a thief, who may have signed the largest
 * generation: order starts anew, and nothing that he asked for is begun any more.
 */
function forgetFormerDirector(state: DeviceState, directorEpoch: number): DeviceState {
  const { order } = state.durable
  if (order.generation < 0 || directorEpoch <= order.directorEpoch) return state
  const durable: DurableState = {
    ...state.durable,
    order: { directorEpoch, generation: -1, digest: '' },
    desired: null,
    staged: [],
  }
  return { ...state, durable, job: null, waiting: [] }
}

function withoutRevoked(
  durable: DurableState,
  { revoked }: Review,
  nowMs: number,
  notices: DeviceNotice[],
): DurableState {
  // `previous` first, so that nothing falls back to a release that is withdrawn as well.
  for (const release of installedReleases(durable).toReversed()) {
    const found = revoked.find((entry) => sameRelease(entry, release))
    if (found === undefined) continue
    const problem = revokedProblem(release, found.onRevoked)
    const left = withoutRelease(durable, release, problem, found.onRevoked === 'stop')
    if (left === undefined) continue
    durable = left.durable
    notices.push(noticeOf('release_revoked', left.notice.subject, problem, nowMs))
  }
  return durable
}

function revokedProblem(release: ReleaseRef, onRevoked: 'serve' | 'stop'): Problem {
  return {
    code: 'release.revoked',
    message: `The publishers have withdrawn ${releaseName(release)}.`,
    expected: 'a release that the signed metadata list',
    next: `where nothing else is left the publishers' policy is: ${onRevoked}`,
  }
}

/** A notice with its attack, where the problem looked like one. */
export function noticeOf(
  kind: DeviceNotice['kind'],
  subject: string,
  problem: Problem,
  atMs: number,
): DeviceNotice {
  // A withdrawal is the publishers' own act, and seeing it is the opposite of an attack.
  const attack = kind === 'release_revoked' ? undefined : attackOf(problem)
  const about = subject.slice(0, SUBJECT_CHARS_MAX)
  return { kind, atMs, subject: about, problem, ...(attack && { attack }) }
}
