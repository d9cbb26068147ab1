/**
 * What each device should run, derived from the rollouts alone: nothing else is stored, so a
 * restarted controller wants the same. Assignments follow from it.
 */
import { unitHash } from '../kernel/stable-hash.ts'
import type { DeviceFacts } from '../model/device.ts'
import { isTargeted } from './spec.ts'
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
 * The smallest share of devices always holds one: the first device by position belongs to every
 * wave, or a wave of 1 % of 8 devices would wait for ever.
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
 * The release of `model` that a device has outside any open rollout: the candidate of the newest
 * promoted rollout that targets it.
 */
export function settledVersion(
  model: string,
  facts: DeviceFacts,
  rollouts: readonly Rollout[],
): string | null {
  const promoted = rollouts
    .filter(
      (r) => r.spec.model === model && r.state === 'promoted' && isTargeted(r.spec.targets, facts),
    )
    .toSorted((a, b) => (b.endedAtMs ?? 0) - (a.endedAtMs ?? 0))
  return promoted[0]?.spec.candidate ?? null
}

const PPM_PER_PERCENT = 10_000

/**
 * Desired state of every device. `cohorts` of open rollouts are computed over the devices they
 * target, so late joiners fall into their wave or get the promoted release.
 */
export function desiredState(
  devices: readonly DesiredDevice[],
  rollouts: readonly Rollout[],
): Map<string, DesiredModel[]> {
  const open = rollouts.filter((r) => r.state === 'running' || r.state === 'paused')
  const cohorts = new Map(
    open.map((rollout) => {
      const targeted = devices.filter((d) => isTargeted(rollout.spec.targets, d.facts))
      return [
        rollout.id,
        cohortOf(
          rollout,
          rollout.wave,
          targeted.map((d) => d.device),
        ),
      ] as const
    }),
  )
  const models = [...new Set(rollouts.map((r) => r.spec.model))].toSorted()
  const wanted = (device: DesiredDevice): DesiredModel[] =>
    models.flatMap((model) => {
      const settled = settledVersion(model, device.facts, rollouts)
      const rollout = open.find(
        (r) => r.spec.model === model && cohorts.get(r.id)?.has(device.device),
      )
      const desired = rollout ? underRollout(rollout, settled) : outsideRollout(model, settled)
      return desired === null ? [] : [desired]
    })
  return new Map(devices.map((device) => [device.device, wanted(device)]))
}

function outsideRollout(model: string, settled: string | null): DesiredModel | null {
  if (settled === null) return null
  return { model, current: settled, candidate: null, trafficShare: 0, shadow: 0, rollout: null }
}

function underRollout(rollout: Rollout, settled: string | null): DesiredModel {
  const { model, candidate, baseline, waves } = rollout.spec
  const wave = waves[rollout.wave]!
  const ref = { id: rollout.id, wave: rollout.wave }
  const current = settled ?? baseline
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
