/**
 * The controller's decisions in one pure function: where every rollout goes, and which assignments
 * make devices follow. Rollouts are stepped on what devices reported and counted; what devices should
 * run derives from the rollouts; where that differs from what was last issued, an assignment is due.
 *
 * Invariant: the same world and time give the same result; calling it again after its result was
 * taken over changes nothing. Storing, signing and publishing are the caller's.
 */

import type { ProfileCounts } from '../judge/judge.ts'
import type { Problem } from '../kernel/result.ts'
import { unwrap } from '../kernel/result.ts'
import { sha256Hex } from '../kernel/sha256.ts'
import { releaseName } from '../model/names.ts'
import { issueFor, wantedOf } from './assign.ts'
import { type DesiredModel, desiredState, type IsPublished } from './desired.ts'
import { observe } from './observe.ts'
import { type DecisionRecord, isFinal, type Rollout } from './state.ts'
import { step } from './step.ts'
import type { Issue, World } from './world.ts'

export interface Decision {
  readonly record: DecisionRecord
  /** The merged counts, at most 8 kB of them: pooled counts replace more profiles than fit. */
  readonly inputs: readonly ProfileCounts[]
  /** SHA-256 of all counts. */
  readonly inputsDigest: string
}

export interface Reconciled {
  /** Those that changed. */
  readonly rollouts: readonly Rollout[]
  readonly decisions: readonly Decision[]
  readonly issues: readonly Issue[]
  /** True when `issuesMax` was reached: reconcile again. */
  readonly more: boolean
  readonly desired: ReadonlyMap<string, readonly DesiredModel[]>
  /** Why a device cannot be given what it should run. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>
}

const INPUTS_BYTES_MAX = 8_192

export function reconcile(world: World, nowMs: number): Reconciled {
  const isPublished: IsPublished = (model, version) =>
    world.releases.has(releaseName({ model, version }))
  const before = desiredState(world.devices, world.rollouts, isPublished)
  const stepped = world.rollouts.map((rollout) => stepRollout(rollout, world, before, nowMs))
  const rollouts = stepped.map(({ rollout }) => rollout)
  const changed = rollouts.filter((rollout, i) => !isSame(rollout, world.rollouts[i]!))
  const moved = changed.some((rollout) => changesDesired(rollout, world.rollouts))
  const desired = moved ? desiredState(world.devices, rollouts, isPublished) : before
  return {
    rollouts: changed,
    decisions: stepped.flatMap(({ decisions }) => decisions),
    ...issueAll({ ...world, rollouts }, desired, nowMs),
    desired,
  }
}

/** Records of a command that a person gave, with what was counted when it was given. */
export function decisionsOf(
  records: readonly DecisionRecord[],
  inputs: readonly ProfileCounts[],
): Decision[] {
  const inputsDigest = sha256Hex(JSON.stringify(inputs))
  const kept = JSON.stringify(inputs).length <= INPUTS_BYTES_MAX ? inputs : fitting(inputs)
  return records.map((record) => ({ record, inputs: kept, inputsDigest }))
}

function stepRollout(
  rollout: Rollout,
  world: World,
  desired: ReadonlyMap<string, readonly DesiredModel[]>,
  nowMs: number,
): { rollout: Rollout; decisions: Decision[] } {
  if (isRevoked(rollout, world)) {
    const revoked = unwrap(step(rollout, { kind: 'revoked' }, nowMs))
    return { rollout: revoked.rollout, decisions: decisionsOf(revoked.records, []) }
  }
  if (!['running', 'paused', 'rolling_back'].includes(rollout.state)) {
    return { rollout, decisions: [] }
  }
  const { event, inputs } = observe(rollout, world, desired, nowMs)
  const result = unwrap(step(rollout, event, nowMs))
  return { rollout: result.rollout, decisions: decisionsOf(result.records, inputs) }
}

/** Its candidate is no longer published, and it would still bring it to devices or keep it there. */
function isRevoked(rollout: Rollout, { releases, rollouts }: World): boolean {
  const { model, candidate: version } = rollout.spec
  if (releases.has(releaseName({ model, version })) || rollout.state === 'rolling_back')
    return false
  if (!isFinal(rollout)) return true
  if (rollout.state !== 'promoted') return false
  // A promotion that a later one or a rollout under way replaced says nothing of any device.
  const endedAtMs = rollout.endedAtMs ?? 0
  return !rollouts.some(
    (other) =>
      other.id !== rollout.id &&
      other.spec.model === model &&
      (!isFinal(other) || (other.state === 'promoted' && (other.endedAtMs ?? 0) > endedAtMs)),
  )
}

/** As many profiles as fit, by name; their digest still covers all. */
function fitting(inputs: readonly ProfileCounts[]): ProfileCounts[] {
  const kept: ProfileCounts[] = []
  let bytes = 2
  for (const counts of inputs) {
    bytes += JSON.stringify(counts).length + 1
    if (bytes > INPUTS_BYTES_MAX) break
    kept.push(counts)
  }
  return kept
}

function isSame(a: Rollout, b: Rollout): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}

function changesDesired(rollout: Rollout, before: readonly Rollout[]): boolean {
  const former = before.find(({ id }) => id === rollout.id)
  return former?.state !== rollout.state || former.wave !== rollout.wave
}

function issueAll(
  world: World,
  desired: ReadonlyMap<string, readonly DesiredModel[]>,
  nowMs: number,
): Pick<Reconciled, 'issues' | 'more' | 'problems'> {
  const issues: Issue[] = []
  const problems = new Map<string, readonly Problem[]>()
  const { issuing, fleet } = world
  if (issuing === null) return { issues, more: false, problems }
  for (const device of world.devices) {
    const wants = desired.get(device.device) ?? []
    const { wanted, problems: found } = wantedOf(device, wants, world, issuing.windowMs)
    if (found.length > 0) problems.set(device.device, found)
    const issue = issueFor(device, wanted, fleet, issuing, nowMs)
    if (issue === undefined) continue
    if (issues.length >= issuing.issuesMax) return { issues, more: true, problems }
    issues.push(issue)
  }
  return { issues, more: false, problems }
}
