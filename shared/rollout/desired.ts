/**
 * What each device should run, derived from the rollouts alone: nothing else is stored, so a
 * restarted controller wants the same. Assignments follow from it.
 */
import { unitHash } from '../kernel/stable-hash.ts'
import type { DeviceFacts } from '../model/device.ts'
import { isTargeted, type Targets } from './spec.ts'
import type { Rollout } from './state.ts'

/** One model's slots on one device, before variants are chosen. */
export interface DesiredModel {
  readonly model: string
  readonly current: string
  readonly candidate: string | null
  /** Parts per million. */
  readonly trafficShare: number
  readonly shadow: number
  readonly rollout: { readonly id: string; readonly wave: number } | null
}

export interface DesiredDevice {
  readonly device: string
  readonly facts: DeviceFacts
}

/** A device is in a wave's cohort when its hash falls into the wave's percentage. */
export function inCohort(
  rollout: Pick<Rollout, 'id' | 'spec'>,
  wave: number,
  device: string,
): boolean {
  const percent = rollout.spec.waves[wave]?.percent ?? 0
  return cohortPosition(rollout.id, device) * 100 < percent
}

/** Uniform in [0, 1); order of arrival plays no part. */
export function cohortPosition(rollout: string, device: string): number {
  return unitHash('cohort', rollout, device)
}

/**
 * Adding a device never changes whether another is in the cohort, with one exception: a share that
 * is too small for any device holds the first by position alone, or a wave of 1 % of 8 devices would
 * wait for ever; a new device can then take its place.
 */
export function cohortOf(
  rollout: Pick<Rollout, 'id' | 'spec'>,
  wave: number,
  devices: readonly string[],
): Set<string> {
  const cohort = new Set(devices.filter((device) => inCohort(rollout, wave, device)))
  if (cohort.size > 0 || devices.length === 0) return cohort
  const first = devices.reduce((best, device) =>
    cohortPosition(rollout.id, device) < cohortPosition(rollout.id, best) ? device : best,
  )
  return new Set([first])
}

/**
 * As `cohortOf`, for one device: has the wave reached it?
 * @param devices those that the rollout targets, looked through only where the share is tiny
 */
export function isReached(
  rollout: Pick<Rollout, 'id' | 'spec'>,
  wave: number,
  device: string,
  devices: Iterable<string>,
): boolean {
  if (inCohort(rollout, wave, device)) return true
  const position = cohortPosition(rollout.id, device)
  for (const other of devices) {
    if (cohortPosition(rollout.id, other) < position) return false
  }
  return true
}

/** False for what the publishers revoked: no device is to have it, whatever rollouts say. */
export type IsPublished = (model: string, version: string) => boolean

/** What a rollout that is over, or has not reached a device, says the device runs. */
interface Settlement {
  readonly targets: Targets
  readonly version: string
}

/**
 * In order of precedence: the candidates of promoted rollouts, newest first; then the baselines that
 * started rollouts named, newest first, for devices that no promoted rollout targets.
 */
function settlements(
  model: string,
  rollouts: readonly Rollout[],
  isPublished: IsPublished,
): Settlement[] {
  const ofModel = rollouts.filter((rollout) => rollout.spec.model === model)
  const promoted = ofModel
    .filter((rollout) => rollout.state === 'promoted')
    .toSorted((a, b) => (b.endedAtMs ?? 0) - (a.endedAtMs ?? 0))
    .map(({ spec }) => ({ targets: spec.targets, version: spec.candidate }))
  const baselines = ofModel
    .filter((rollout) => rollout.startedAtMs !== null && rollout.state !== 'promoted')
    .toSorted((a, b) => (b.startedAtMs ?? 0) - (a.startedAtMs ?? 0))
    .flatMap(({ spec }) =>
      spec.baseline === null ? [] : [{ targets: spec.targets, version: spec.baseline }],
    )
  return [...promoted, ...baselines].filter(({ version }) => isPublished(model, version))
}

function settledBy(rows: readonly Settlement[], facts: DeviceFacts): string | null {
  return rows.find((row) => isTargeted(row.targets, facts))?.version ?? null
}

/** The release of `model` that a device has outside any open rollout; null where there is none. */
export function settledVersion(
  model: string,
  facts: DeviceFacts,
  rollouts: readonly Rollout[],
  isPublished: IsPublished = () => true,
): string | null {
  return settledBy(settlements(model, rollouts, isPublished), facts)
}

/** The newest promotion of those that have taken every device from this one; none if one is left. */
export function supersededBy(
  { state, endedAtMs, spec }: Rollout,
  devices: readonly DesiredDevice[],
  rollouts: readonly Rollout[],
): Rollout | undefined {
  if (state !== 'promoted') return undefined
  const later = rollouts
    .filter((other) => other.spec.model === spec.model && other.state === 'promoted')
    .filter((other) => (other.endedAtMs ?? 0) > (endedAtMs ?? 0))
    .toSorted((a, b) => (b.endedAtMs ?? 0) - (a.endedAtMs ?? 0))
  const takers = devices
    .filter(({ facts }) => isTargeted(spec.targets, facts))
    .map(({ facts }) => later.find((other) => isTargeted(other.spec.targets, facts)))
  return takers.includes(undefined) ? undefined : takers[0]
}

const PPM_PER_PERCENT = 10_000

/**
 * Desired state of every device. `cohorts` of open rollouts are computed over the devices they
 * target, so late joiners fall into their wave or get the promoted release. A paused rollout wants
 * what it wanted while it ran.
 */
export function desiredState(
  devices: readonly DesiredDevice[],
  rollouts: readonly Rollout[],
  isPublished: IsPublished = () => true,
): Map<string, DesiredModel[]> {
  const models = [...new Set(rollouts.map((rollout) => rollout.spec.model))].toSorted()
  const plans = models.map((model) => ({
    model,
    settled: settlements(model, rollouts, isPublished),
    open: rollouts
      .filter((rollout) => rollout.spec.model === model && isOpen(rollout))
      .map((rollout) => ({ rollout, cohort: waveCohort(rollout, devices) })),
  }))
  const wanted = ({ device, facts }: DesiredDevice): DesiredModel[] =>
    plans.flatMap(({ model, settled, open }) => {
      const version = settledBy(settled, facts)
      const under = open.find(({ cohort }) => cohort.has(device))
      const desired = under
        ? underRollout(under.rollout, version, isPublished)
        : outsideRollout(model, version)
      return desired === null ? [] : [desired]
    })
  return new Map(devices.map((device) => [device.device, wanted(device)]))
}

/** Open: devices of its cohort hold the candidate. */
export function isOpen({ state }: Pick<Rollout, 'state'>): boolean {
  return state === 'running' || state === 'paused'
}

/** The cohort of the wave that the rollout is in. */
export function waveCohort(rollout: Rollout, devices: readonly DesiredDevice[]): Set<string> {
  const targeted = devices.filter(({ facts }) => isTargeted(rollout.spec.targets, facts))
  return cohortOf(
    rollout,
    rollout.wave,
    targeted.map(({ device }) => device),
  )
}

function outsideRollout(model: string, settled: string | null): DesiredModel | null {
  if (settled === null) return null
  return { model, current: settled, candidate: null, trafficShare: 0, shadow: 0, rollout: null }
}

function underRollout(
  rollout: Rollout,
  settled: string | null,
  isPublished: IsPublished,
): DesiredModel {
  const { model, candidate, baseline, waves } = rollout.spec
  const wave = waves[rollout.wave]!
  const ref = { id: rollout.id, wave: rollout.wave }
  const known = baseline !== null && isPublished(model, baseline) ? baseline : null
  const current = settled ?? known
  // A device that has nothing to compare with serves the candidate alone, as do full waves.
  if (current === null || current === candidate || wave.trafficPercent === 100) {
    return { model, current: candidate, candidate: null, trafficShare: 0, shadow: 0, rollout: ref }
  }
  return {
    model,
    current,
    candidate,
    trafficShare: Math.round(wave.trafficPercent * PPM_PER_PERCENT),
    shadow: Math.round(wave.shadowPercent * PPM_PER_PERCENT),
    rollout: ref,
  }
}
