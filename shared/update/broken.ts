/**
 * How a release leaves a device: because it failed, and then it is remembered; or because the disk
 * lost its files, and then it is simply missing again.
 *
 * Invariant (loop guard): a failed `current` falls back to `previous`; without one it stays where it
 * is, since a broken release that answers beats none, and its failure is told once for each rollout.
 */
import type { Problem } from '../kernel/result.ts'
import type { DeviceNotice } from '../model/device.ts'
import { releaseName } from '../model/names.ts'
import { isRefused, rolloutOf, sameRelease } from './slots.ts'
import {
  type DurableState,
  FAILURES_MAX,
  type Failure,
  type Installed,
  type ModelSlots,
  type ReleaseRef,
} from './state.ts'

/** @returns undefined when the failure is known and nothing can be done about it. */
export function withoutRelease(
  durable: DurableState,
  broken: ReleaseRef,
  problem: Problem,
  /** Leaves its slot even when nothing else is there to serve. */
  evenLast = false,
): { durable: DurableState; notice: Pick<DeviceNotice, 'kind' | 'subject'> } | undefined {
  const known = isRefused(durable, broken)
  const slots = durable.models.find((entry) => entry.model === broken.model)
  const isLast = sameRelease(slots?.current, broken) && slots?.previous === null
  if (known && isLast && !evenLast) return undefined
  const failure: Failure = {
    release: refOf(broken),
    rollout: rolloutOf(durable.desired, broken.model)?.id ?? null,
    problem,
  }
  const others = durable.failures.filter((entry) => !sameRelease(entry.release, broken))
  const failures = [...others, failure].slice(-FAILURES_MAX)
  const wasServed = sameRelease(slots?.current, broken) || sameRelease(slots?.candidate, broken)
  const notice = {
    kind: wasServed && !isLast ? ('rolled_back' as const) : ('release_failed' as const),
    subject: releaseName(broken),
  }
  if (isLast && !evenLast) return { durable: { ...durable, failures }, notice }
  return { durable: { ...removeWhere(durable, (r) => sameRelease(r, broken)), failures }, notice }
}

/** @returns undefined when nothing that is installed uses the file. */
export function withoutFiles(durable: DurableState, sha256: string): DurableState | undefined {
  const installed = [...durable.models.flatMap(releasesIn), ...durable.staged]
  if (!installed.some((release) => release.sha256 === sha256)) return undefined
  return removeWhere(durable, (release) => release.sha256 === sha256)
}

function releasesIn(slots: ModelSlots): Installed[] {
  return [slots.current, slots.candidate, slots.previous].filter((release) => release !== null)
}

function removeWhere(durable: DurableState, gone: (release: Installed) => boolean): DurableState {
  const keep = (release: Installed | null) => (release === null || gone(release) ? null : release)
  const models = durable.models.map((slots) => {
    const current = keep(slots.current) ?? keep(slots.previous)
    const candidate = keep(slots.candidate)
    const isFallback = current !== null && current === slots.previous
    return {
      ...slots,
      current,
      candidate,
      previous: isFallback ? null : keep(slots.previous),
      trafficShare: candidate === null ? 0 : slots.trafficShare,
      shadow: candidate === null ? 0 : slots.shadow,
    }
  })
  return { ...durable, models, staged: durable.staged.filter((release) => !gone(release)) }
}

function refOf({ model, version, variant, target, sha256, length }: ReleaseRef): ReleaseRef {
  return { model, version, variant, target, sha256, length }
}
