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

export function findInstalled(durable: DurableState, sha256: string): Installed | undefined {
  return installedReleases(durable).find((release) => release.sha256 === sha256)
}

/** True when this release failed here under the rollout that now asks for it. */
export function isRefused(durable: DurableState, release: ReleaseRef): boolean {
  const rollout = rolloutOf(durable.desired, release.model)?.id ?? null
  return durable.failures.some(
    (failure) => failure.release.sha256 === release.sha256 && failure.rollout === rollout,
  )
}

export function rolloutOf(desired: Assignment | null, model: string): ModelSlots['rollout'] {
  return desired?.rollout.find((entry) => entry.model === model)?.ref ?? null
}

/** The next release to bring onto the device: current before candidate, refused ones never. */
export function nextMissing(durable: DurableState): ReleaseRef | undefined {
  const slots = durable.desired?.slots ?? []
  const order = slots.toSorted(
    (a, b) => Number(a.slot === 'candidate') - Number(b.slot === 'candidate'),
  )
  return order
    .map(releaseOf)
    .find((release) => !findInstalled(durable, release.sha256) && !isRefused(durable, release))
}

/**
 * Moves every model whose desired releases can be served into its desired slots. A model whose
 * current release is still missing keeps its slots; a missing or refused candidate leaves the
 * candidate slot empty, so that `current` serves alone.
 */
export function arrangeSlots(durable: DurableState): DurableState {
  const desired = durable.desired
  if (desired === null) return durable
  const models = [
    ...new Set([...desired.slots.map((s) => s.model), ...durable.models.map((m) => m.model)]),
  ]
  const arranged = models.map((model) => arrangeModel(durable, desired, model))
  const placed = new Set(
    arranged.flatMap((m) => [m.current, m.candidate, m.previous]).map((r) => r?.sha256),
  )
  const wanted = new Set(desired.slots.map((slot) => slot.sha256))
  return {
    ...durable,
    models: arranged.filter((m) => m.current !== null || m.previous !== null),
    staged: durable.staged.filter((r) => !placed.has(r.sha256) && wanted.has(r.sha256)),
  }
}

function arrangeModel(durable: DurableState, desired: Assignment, model: string): ModelSlots {
  const now = durable.models.find((slots) => slots.model === model) ?? emptySlots(model)
  const wanted = (slot: 'current' | 'candidate') =>
    desired.slots.find((entry) => entry.model === model && entry.slot === slot)
  const wantedCurrent = wanted('current')
  if (wantedCurrent === undefined) return { ...now, candidate: null, trafficShare: 0, shadow: 0 }
  const usable = (slot: AssignedSlot | undefined): Installed | null => {
    if (slot === undefined || isRefused(durable, releaseOf(slot))) return null
    return findInstalled(durable, slot.sha256) ?? null
  }
  const current = usable(wantedCurrent) ?? now.current
  const wantedCandidate = wanted('candidate')
  const candidate = current === null ? null : usable(wantedCandidate)
  const replaced = now.current !== null && now.current.sha256 !== current?.sha256
  // What leaves a slot stays as `previous`, warm for a rollback without a download.
  const previous = replaced ? now.current : now.previous
  return {
    model,
    current,
    candidate,
    previous: previous?.sha256 === current?.sha256 ? null : previous,
    trafficShare: candidate === null ? 0 : (wantedCandidate?.trafficShare ?? 0),
    shadow: candidate === null ? 0 : (wantedCandidate?.shadow ?? 0),
    rollout: rolloutOf(desired, model),
  }
}

export function emptySlots(model: string): ModelSlots {
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
