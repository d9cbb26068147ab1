/**
 * L1: once faults have healed, everything agrees within a bound: every device runs and serves the
 * release that the rollouts settled on, says so, the controller knows it, and nothing is left unsent.
 */
import type { StoredState } from '../../controller/db/store.ts'
import type { Rollout } from '../../shared/rollout/state.ts'
import { FINAL_STATES } from '../../shared/rollout/state.ts'
import type { ModelSlots } from '../../shared/update/state.ts'

/** What a device looks like from outside. */
export interface DeviceSeen {
  readonly name: string
  readonly slots: readonly ModelSlots[] | undefined
  /** Everything that it had to tell was acknowledged at some time since the faults healed. */
  readonly drained: boolean
}

/** @returns the first thing that has not converged, or undefined. */
export function unconverged(
  state: StoredState,
  devices: readonly DeviceSeen[],
): string | undefined {
  const open = state.rollouts.find((rollout) => !FINAL_STATES.includes(rollout.state))
  if (open !== undefined) {
    return `${open.id} (${open.spec.candidate}) is ${open.state}: ${open.reason.sentence}`
  }
  const settled = settledVersions(state.rollouts)
  for (const device of devices) {
    const problem = deviceProblem(device, settled, state)
    if (problem !== undefined) return `${device.name} ${problem}`
  }
  return undefined
}

/** Of each model the candidate that was promoted last. */
function settledVersions(rollouts: readonly Rollout[]): Map<string, string> {
  const promoted = rollouts
    .filter((rollout) => rollout.state === 'promoted')
    .toSorted((a, b) => (a.endedAtMs ?? 0) - (b.endedAtMs ?? 0))
  return new Map(promoted.map(({ spec }) => [spec.model, spec.candidate]))
}

function deviceProblem(
  { name, slots, drained }: DeviceSeen,
  settled: ReadonlyMap<string, string>,
  state: StoredState,
): string | undefined {
  if (slots === undefined) return 'is off'
  for (const [model, version] of settled) {
    const held = slots.find((entry) => entry.model === model)
    const current = held?.current?.version ?? 'nothing'
    if (current !== version) return `has ${current} where ${version} is settled`
    if (held?.candidate) return `still holds the candidate ${held.candidate.version}`
  }
  if (!drained) return 'always had something unsent'
  const told = state.deviceStates.find(({ device }) => device === name)
  const issued = state.assignments.find(({ device }) => device === name)
  if (issued === undefined) return settled.size === 0 ? undefined : 'was never assigned anything'
  if (told?.report?.generation !== issued.generation) {
    return `says generation ${told?.report?.generation} of ${issued.generation}`
  }
  if (told.report.status !== 'applied') return `says ${told.report.status}`
  return told.presence?.status === 'online'
    ? undefined
    : `is ${told.presence?.status} for the controller`
}
