/**
 * From reported states to what the rollout machine looks at: where each targeted device stands with
 * the candidate, and what the judge says of the wave.
 *
 * Invariant: a device counts as serving or failed only by its own report; a profile whose devices are
 * all out of reach and have counted nothing does not hold the wave back.
 */
import { NO_COUNTS } from '../judge/arm-counts.ts'
import { judge, type ProfileCounts, type Verdict } from '../judge/judge.ts'
import { releaseName } from '../model/names.ts'
import { variantFor } from './assign.ts'
import { type DesiredModel, waveCohort } from './desired.ts'
import { isTargeted, shadowOf } from './spec.ts'
import type { Rollout, RolloutEvent, TargetedDevice } from './state.ts'
import type { World, WorldDevice } from './world.ts'

type Observed = Extract<RolloutEvent, { readonly kind: 'observed' }>

export interface Observation {
  readonly event: Observed
  /** What the judge was given. */
  readonly inputs: readonly ProfileCounts[]
}

/** `desired` is what every device should run as the rollouts stand now. */
export function observe(
  rollout: Rollout,
  world: World,
  desired: ReadonlyMap<string, readonly DesiredModel[]>,
  nowMs: number,
): Observation {
  if (rollout.state === 'rolling_back') {
    const devices = world.devices
      .filter((device) => isTargeted(rollout.spec.targets, device.facts))
      .map((device) => ({
        ...targetedDevice(rollout, device, world),
        ...wayBack(rollout, device, desired.get(device.device) ?? []),
      }))
    return { event: { kind: 'observed', devices, verdict: null }, inputs: [] }
  }
  const cohort = waveCohort(rollout, world.devices)
  const members = world.devices.filter((device) => cohort.has(device.device))
  const former = formerCohort(rollout, members)
  const countedBy = world.evidence.get(rollout.id)?.countedBy
  const devices = members.map((device) => ({
    ...targetedDevice(rollout, device, world),
    isAdded: !former.has(device.device),
    hasCounted: countedBy?.has(device.device) === true,
  }))
  const inputs = waveCounts(rollout, world, devices)
  const verdict = inputs.length === 0 ? null : verdictOf(rollout, world, inputs, nowMs)
  return { event: { kind: 'observed', devices, verdict }, inputs }
}

/** Those of the wave's devices that an earlier one brought in; cohorts only grow. */
function formerCohort(rollout: Rollout, members: readonly WorldDevice[]): Set<string> {
  if (rollout.wave === 0) return new Set()
  return waveCohort({ ...rollout, wave: rollout.wave - 1 }, members)
}

/** Without another release to go back to, a device keeps what it has. */
function wayBack(
  { spec: { model, candidate } }: Rollout,
  { report }: WorldDevice,
  desired: readonly DesiredModel[],
): Pick<TargetedDevice, 'keeps' | 'backFailureCode'> {
  const wanted = desired.find((want) => want.model === model)
  if (wanted === undefined || wanted.current === candidate) return { keeps: true }
  const failure = report?.failures.find(
    (failed) => failed.model === model && failed.version === wanted.current,
  )
  return failure === undefined ? {} : { backFailureCode: failure.problem.code }
}

export function targetedDevice(
  rollout: Rollout,
  device: WorldDevice,
  world: Pick<World, 'releases' | 'profiles'>,
): TargetedDevice {
  const { model, candidate: version } = rollout.spec
  const isIt = (other: { model: string; version: string }): boolean =>
    other.model === model && other.version === version
  const { report } = device
  const attacksAtMs = (report?.attacks ?? []).map(({ receivedAtMs, atMs }) => receivedAtMs ?? atMs)
  const base = {
    ...{ device: device.device, profile: device.facts.profile, online: device.online },
    ...(attacksAtMs.length > 0 && { attackAtMs: Math.max(...attacksAtMs) }),
  }
  const unfit = variantFor({ model, version }, device.facts.profile, world)
  if (!unfit.ok) return { ...base, candidate: 'failed', failureCode: unfit.error.code }
  if (report?.slots.some((slot) => slot.slot !== 'previous' && isIt(slot))) {
    return { ...base, candidate: 'serving', failureCode: null }
  }
  if (report !== null && report.job !== null && isIt(report.job)) {
    return { ...base, candidate: 'installing', failureCode: null }
  }
  // What failed under an assignment of an earlier rollout is tried again under this one's.
  const failure = followsSince(device, rollout) ? report?.failures.find(isIt) : undefined
  if (failure === undefined) return { ...base, candidate: 'absent', failureCode: null }
  return { ...base, candidate: 'failed', failureCode: failure.problem.code }
}

/** The device has taken the newest assignment, and that was issued since the rollout began. */
function followsSince({ report, issued }: WorldDevice, { startedAtMs }: Rollout): boolean {
  return (
    report !== null &&
    issued !== null &&
    issued.issuedAtMs >= (startedAtMs ?? 0) &&
    report.directorEpoch === issued.directorEpoch &&
    report.generation >= issued.generation
  )
}

/** One entry per profile that the wave can hear from, whether or not it has counted yet. */
function waveCounts(
  rollout: Rollout,
  world: World,
  devices: readonly TargetedDevice[],
): ProfileCounts[] {
  const counted = world.evidence.get(rollout.id)?.counts ?? []
  const reachable = devices.filter(
    (device) => device.candidate === 'serving' || (device.online && device.candidate !== 'failed'),
  )
  const profiles = [...new Set([...counted, ...reachable].map(({ profile }) => profile))].toSorted()
  const wave = rollout.spec.waves[rollout.wave]
  const compares = rollout.spec.baseline !== null && (wave?.trafficPercent ?? 0) < 100
  return profiles.map((profile) => {
    const counts = counted.find((entry) => entry.profile === profile)
    const baseline = compares ? (counts?.baseline ?? NO_COUNTS) : null
    return { profile, baseline, canary: counts?.canary ?? NO_COUNTS }
  })
}

function verdictOf(
  rollout: Rollout,
  world: World,
  profiles: readonly ProfileCounts[],
  nowMs: number,
): Verdict {
  const { spec, wave } = rollout
  const newestAtMs = world.evidence.get(rollout.id)?.newestAtMs ?? null
  const stale = newestAtMs !== null && nowMs - newestAtMs > world.staleAfterMs
  const manifest = world.releases.get(releaseName({ model: spec.model, version: spec.candidate }))
  const latencyMsMax = manifest?.serviceLevels.latencyMsMax
  const shadow = shadowOf(spec, wave)
  return judge({ policy: spec.policy, wave, profiles, stale, shadow, latencyMsMax })
}
