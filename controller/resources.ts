/** What the application answers, made from what the ledger holds. Nothing is decided here. */
import type {
  DecisionResource,
  DeviceResource,
  ReleaseResource,
  RolloutResource,
} from '../shared/api/resources.ts'
import { addArms } from '../shared/judge/arm-counts.ts'
import type { ProfileCounts } from '../shared/judge/judge.ts'
import type { Problem } from '../shared/kernel/result.ts'
import { boundProblem, type DeviceNotice } from '../shared/model/device.ts'
import type { Role } from '../shared/model/role.ts'
import { allowedCommands } from '../shared/rollout/commands.ts'
import { type DesiredModel, isOpen, waveCohort } from '../shared/rollout/desired.ts'
import { targetedDevice } from '../shared/rollout/observe.ts'
import { isTargeted } from '../shared/rollout/spec.ts'
import { isFinal, type Rollout } from '../shared/rollout/state.ts'
import type { World } from '../shared/rollout/world.ts'
import type { StoredDecision, StoredDevice, StoredRelease } from './db/store.ts'
import type { Evidence } from './evidence.ts'
import type { Ledger } from './ledger.ts'
import { deviceStateOf } from './presence.ts'

export function deviceResource(
  ledger: Ledger,
  row: StoredDevice,
  more: {
    readonly fleet: string
    readonly desired: readonly DesiredModel[]
    readonly unfit: readonly Problem[] | undefined
    readonly notices: readonly DeviceNotice[]
    readonly lastSeenMs: number | null
  },
): DeviceResource {
  const { device, deviceKey, facts, enrolledAtMs } = row
  const { presence, report, qualifications } = deviceStateOf(ledger, device)
  const assignment = ledger.rows.assignments.get(device)
  const generation = assignment?.generation ?? 0
  const follows =
    report !== null &&
    report.directorEpoch === assignment?.directorEpoch &&
    report.generation === generation &&
    report.status === 'applied'
  return {
    device,
    fleet: more.fleet,
    deviceKey,
    facts,
    enrolledAtMs,
    presence,
    lastSeenMs: more.lastSeenMs,
    generation,
    desired: [...more.desired],
    report,
    qualifications: [...qualifications],
    notices: [...more.notices],
    ...(more.unfit !== undefined && { unfit: more.unfit.map(boundProblem) }),
    ...(row.revokedAtMs !== null && { membership: 'revoked' as const }),
    ...(row.revokedAtMs === null &&
      row.approvedAtMs === null && { membership: 'pending' as const }),
    converged: assignment === undefined ? more.desired.length === 0 : follows,
  }
}

/** @param role the one that lists it; undefined when none does any more */
export function releaseResource(
  ledger: Ledger,
  row: StoredRelease,
  role: string | undefined,
): ReleaseResource {
  const { model, version } = row
  const serves = [...ledger.rows.deviceStates.values()].filter(({ report }) =>
    report?.slots.some(
      (slot) => slot.slot !== 'previous' && slot.model === model && slot.version === version,
    ),
  )
  const isDelegated = role !== undefined && role !== 'targets'
  const signed = { signedBy: [...row.signedBy], ...(isDelegated && { role }) }
  return { ...row, ...signed, devices: serves.length }
}

/** With every targeted device; lists leave them out of rollouts that have ended. */
export function rolloutResource(
  rollout: Rollout,
  world: World,
  evidence: Evidence,
  role: Role,
  form: 'whole' | 'listed' = 'whole',
): RolloutResource {
  const { retreat: _, ...shown } = rollout
  return {
    ...shown,
    approvedBy: [...rollout.approvedBy],
    evidence: pooledFirst(evidence.ofWave(rollout.id, rollout.wave).counts, rollout),
    totals: evidence.totals(rollout.id),
    devices: form === 'listed' && isFinal(rollout) ? [] : cellsOf(rollout, world),
    allowed: allowedCommands(rollout.state, role),
  }
}

function cellsOf(rollout: Rollout, world: World): RolloutResource['devices'] {
  const targeted = world.devices.filter(({ facts }) => isTargeted(rollout.spec.targets, facts))
  const isShown = isOpen(rollout) || rollout.state === 'rolling_back'
  const cohort = isShown ? waveCohort(rollout, world.devices) : new Set<string>()
  return targeted.map((device) => {
    const { attackAtMs: _, ...cell } = targetedDevice(rollout, device, world)
    return { ...cell, inCohort: cohort.has(device.device) }
  })
}

/** All profiles together, then each. */
function pooledFirst(counts: readonly ProfileCounts[], rollout: Rollout): ProfileCounts[] {
  if (counts.length === 0) return []
  const compares = rollout.spec.baseline !== null
  const shown = counts
    .map((entry) => ({ ...entry, baseline: compares ? entry.baseline : null }))
    .toSorted((a, b) => (a.profile < b.profile ? -1 : 1))
  const baselines = shown.flatMap(({ baseline }) => (baseline === null ? [] : [baseline]))
  const pooled: ProfileCounts = {
    profile: '*',
    baseline: compares ? addArms(baselines) : null,
    canary: addArms(shown.map(({ canary }) => canary)),
  }
  return [pooled, ...shown]
}

export function decisionResource({
  id,
  record,
  inputs,
  inputsDigest,
}: StoredDecision): DecisionResource {
  return { id, ...record, inputs: [...inputs], inputsDigest }
}
