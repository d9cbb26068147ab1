/**
 * From desired and installed to slots: what is still missing, and how slots move when nothing is.
 * Slots move all at once per model, so that a device never shows a mix of two generations.
 */
import type { AssignedSlot, Assignment } from '../model/assignment.ts'
import { parseTarget } from '../model/assignment.ts'
import type { DurableState, Installed, ModelSlots, ReleaseRef } from './state.ts'

export function releaseOf(slot: AssignedSlot): ReleaseRef {
  const { model, version, variant } = parseTarget(slot.target)
  return {
    model,
    version,
    variant,
    target: slot.target,
    sha256: slot.sha256,
    length: slot.length,
  }
}

/** Every release that is verified and qualified on this device. */
export function installedReleases(durable: DurableState): Installed[] {
  const inSlots = durable.models.flatMap((slots) => [
    slots.current,
    slots.candidate,
    slots.previous,
  ])
  return [...inSlots.filter((release) => release !== null), ...durable.staged]
}

/** The same releases in the same slots, with what this artifact is proved to do now. */
export function withQualification(
  durable: DurableState,
  qualification: Installed['qualification'],
): DurableState {
  const { sha256 } = qualification
  const renew = <T extends Installed | null>(release: T): T =>
    release?.sha256 === sha256 ? { ...release, qualification } : release
  const models = durable.models.map((slots) => ({
    ...slots,
    current: renew(slots.current),
    candidate: renew(slots.candidate),
    previous: renew(slots.previous),
  }))
  return { ...durable, models, staged: durable.staged.map(renew) }
}

/** Two releases may share an artifact and differ in their manifests: the target tells them apart. */
export function sameRelease(
  a: Pick<ReleaseRef, 'target' | 'sha256'> | null | undefined,
  b: ReleaseRef,
): boolean {
  return a?.target === b.target && a.sha256 === b.sha256
}

function findInstalled(durable: DurableState, release: ReleaseRef): Installed | undefined {
  return installedReleases(durable).find((installed) => sameRelease(installed, release))
}

/** True when this release failed here under the rollout that now asks for it. */
export function isRefused(durable: DurableState, release: ReleaseRef): boolean {
  const rollout = rolloutOf(durable.desired, release.model)?.id ?? null
  return durable.failures.some(
    (failure) => sameRelease(failure.release, release) && failure.rollout === rollout,
  )
}

export function rolloutOf(desired: Assignment | null, model: string): ModelSlots['rollout'] {
  return desired?.rollout.find((entry) => entry.model === model)?.ref ?? null
}

/** What to bring onto the device: current before candidate, refused ones never. */
export function missingReleases(durable: DurableState): ReleaseRef[] {
  const slots = durable.desired?.slots ?? []
  const order = slots.toSorted(
    (a, b) => Number(a.slot === 'candidate') - Number(b.slot === 'candidate'),
  )
  return order
    .map(releaseOf)
    .filter((release) => !findInstalled(durable, release) && !isRefused(durable, release))
}

/**
 * Moves every model as far into its desired slots as its installed releases allow. While the desired
 * current is missing or refused, the present one stays; a missing or refused candidate leaves the
 * candidate slot empty, so that `current` serves alone. A model that is no longer assigned keeps
 * its current: what runs is never stopped by leaving it out.
 */
export function arrangeSlots(durable: DurableState): DurableState {
  const desired = durable.desired
  if (desired === null) return durable
  const models = [
    ...new Set([...desired.slots.map((s) => s.model), ...durable.models.map((m) => m.model)]),
  ]
  const arranged = models.map((model) => arrangeModel(durable, desired, model))
  const placed = arranged.flatMap((slots) => [slots.current, slots.candidate, slots.previous])
  const wanted = desired.slots.map(releaseOf)
  return {
    ...durable,
    models: arranged.filter((m) => m.current !== null || m.previous !== null),
    staged: durable.staged.filter(
      (release) =>
        !placed.some((other) => sameRelease(other, release)) &&
        wanted.some((other) => sameRelease(other, release)),
    ),
  }
}

function arrangeModel(durable: DurableState, desired: Assignment, model: string): ModelSlots {
  const now = durable.models.find((slots) => slots.model === model) ?? emptySlots(model)
  const wanted = (slot: 'current' | 'candidate') =>
    desired.slots.find((entry) => entry.model === model && entry.slot === slot)
  const wantedCurrent = wanted('current')
  if (wantedCurrent === undefined) {
    return { ...now, candidate: null, trafficShare: 0, shadow: 0, rollout: null }
  }
  const usable = (slot: AssignedSlot | undefined): Installed | null => {
    if (slot === undefined || isRefused(durable, releaseOf(slot))) return null
    return findInstalled(durable, releaseOf(slot)) ?? null
  }
  const current = usable(wantedCurrent) ?? now.current
  const wantedCandidate = wanted('candidate')
  const candidate = current === null ? null : usable(wantedCandidate)
  const replaced = now.current !== null && current !== null && !sameRelease(now.current, current)
  // What leaves a slot stays as `previous`, warm for a rollback without a download.
  const previous = replaced ? now.current : now.previous
  return {
    model,
    current,
    candidate,
    previous: current !== null && sameRelease(previous, current) ? null : previous,
    trafficShare: candidate === null ? 0 : (wantedCandidate?.trafficShare ?? 0),
    shadow: candidate === null ? 0 : (wantedCandidate?.shadow ?? 0),
    rollout: rolloutOf(desired, model),
  }
}

function emptySlots(model: string): ModelSlots {
  return {
    model,
    current: null,
    candidate: null,
    previous: null,
    trafficShare: 0,
    shadow: 0,
    rollout: null,
  }
}
