/**
 * From what a device should run to the assignment that says so: variants chosen for its profile,
 * slots named as targets, and the question whether the last issued assignment still says the same.
 * Signing is left to the director.
 */

import type { Problem, Result } from '../kernel/result.ts'
import { refuse } from '../kernel/result.ts'
import { sha256Hex } from '../kernel/sha256.ts'
import type { AssignedSlot, Assignment } from '../model/assignment.ts'
import { targetPath, type Variant } from '../model/manifest.ts'
import { releaseName } from '../model/names.ts'
import { chooseVariant } from '../model/variant-choice.ts'
import { cohortPosition, type DesiredModel } from './desired.ts'
import type { Rollout } from './state.ts'
import type { Issue, Issuing, World, WorldDevice } from './world.ts'

/** Only the device itself can have invented a generation so far ahead; it is not followed. */
const GENERATIONS_AHEAD_MAX = 1_000_000

/** What an assignment asks for, without its generation and dates. */
export type Wanted = Pick<Assignment, 'slots' | 'rollout' | 'cohort' | 'telemetry'>

/** Errors: `release.unknown`, `profile.unknown`, `variant.none_fits`. */
export function variantFor(
  release: { readonly model: string; readonly version: string },
  profile: string,
  world: Pick<World, 'releases' | 'profiles'>,
): Result<Variant> {
  const manifest = world.releases.get(releaseName(release))
  if (manifest === undefined) {
    return refuse('release.unknown', `${releaseName(release)} is not published.`)
  }
  const firmware = world.profiles.get(profile)
  if (firmware === undefined) {
    return refuse('profile.unknown', `There is no firmware profile ${profile}.`, {
      expected: [...world.profiles.keys()].join(', '),
      found: profile,
    })
  }
  return chooseVariant(manifest, firmware)
}

/**
 * A candidate that suits no variant is left out and `current` serves alone; a model whose current
 * release suits none is left out whole, which stops nothing that runs. Both are told as problems.
 */
export function wantedOf(
  device: WorldDevice,
  desired: readonly DesiredModel[],
  world: World,
  windowMs: number,
): { wanted: Wanted; problems: Problem[] } {
  const problems: Problem[] = []
  const slots: AssignedSlot[] = []
  const rollout: Wanted['rollout'] = []
  for (const want of desired) {
    const current = slotOf('current', want.current, want)
    if (!current.ok) {
      problems.push(current.error)
      continue
    }
    slots.push(current.value)
    const candidate = want.candidate === null ? null : slotOf('candidate', want.candidate, want)
    if (candidate?.ok) slots.push(candidate.value)
    else if (candidate !== null) problems.push(candidate.error)
    if (want.rollout !== null) rollout.push({ model: want.model, ref: want.rollout })
  }
  const cohort = cohortName(device.device, rollout[0]?.ref.id, world.rollouts)
  return { wanted: { slots, rollout, cohort, telemetry: { windowMs } }, problems }

  function slotOf(
    slot: AssignedSlot['slot'],
    version: string,
    want: DesiredModel,
  ): Result<AssignedSlot> {
    const release = { model: want.model, version }
    if (world.unproven?.has(releaseName(release)) && !device.facts.staging) {
      return refuse('release.unproven', `${releaseName(release)} stands in staging only.`, {
        expected: 'a device that was enrolled for staging',
        found: device.device,
        next: `linnet release promote ${releaseName(release)}`,
      })
    }
    const variant = variantFor(release, device.facts.profile, world)
    if (!variant.ok) return variant
    const { name, artifact } = variant.value
    const isCandidate = slot === 'candidate'
    return {
      ok: true,
      value: {
        slot,
        model: want.model,
        target: targetPath(want.model, version, `${name}.onnx`),
        sha256: artifact.sha256,
        length: artifact.length,
        trafficShare: isCandidate ? want.trafficShare : 0,
        shadow: isCandidate ? want.shadow : 0,
      },
    }
  }
}

/** The wave that brought the device into the rollout: it stays the same in later waves. */
function cohortName(
  device: string,
  id: string | undefined,
  rollouts: readonly Rollout[],
): string | null {
  const rollout = rollouts.find((other) => other.id === id)
  if (rollout === undefined) return null
  const percent = cohortPosition(rollout.id, device) * 100
  const first = rollout.spec.waves.findIndex((wave) => percent < wave.percent)
  const wave = first === -1 ? rollout.wave : Math.min(first, rollout.wave)
  return `${rollout.id}-${wave}`.slice(-64)
}

function wantedDigest(deviceKey: string, wanted: Wanted): string {
  const { slots, rollout, cohort, telemetry } = wanted
  return sha256Hex(JSON.stringify([deviceKey, slots, rollout, cohort, telemetry]))
}

/** A new assignment where what is wanted changed, or the last one is past half of its life. */
export function issueFor(
  device: WorldDevice,
  wanted: Wanted,
  fleet: string,
  issuing: Issuing,
  nowMs: number,
): Issue | undefined {
  const digest = wantedDigest(device.deviceKey, wanted)
  const { issued, report } = device
  // A device that never had anything needs no assignment that gives it nothing.
  if (issued === null && wanted.slots.length === 0) return undefined
  const sameEpoch = issued?.directorEpoch === issuing.directorEpoch
  const ahead = generationAhead(device, issuing)
  const fresh = issued !== null && nowMs < (issued.issuedAtMs + issued.expiresAtMs) / 2
  if (sameEpoch && issued.wantedDigest === digest && fresh && !ahead) return undefined
  const reported = ahead ? (report?.generation ?? 0) : 0
  const generation = Math.max(sameEpoch ? issued.generation : 0, reported) + 1
  return {
    wantedDigest: digest,
    formerCohort: issued?.cohort ?? null,
    assignment: {
      _type: 'assignment',
      specVersion: '1',
      fleet,
      device: device.device,
      deviceKey: device.deviceKey,
      directorEpoch: issuing.directorEpoch,
      generation,
      minSnapshot: issuing.minSnapshot,
      issuedAt: nowMs,
      expiresAt: nowMs + issuing.lifetimeMs,
      ...wanted,
    },
  }
}

/**
 * The device follows a generation that we never issued: the database was restored from a backup, or
 * somebody else signs with the director's key. It gets a higher one, so that it listens again.
 */
function generationAhead(device: WorldDevice, issuing: Issuing): boolean {
  const { report, issued } = device
  if (report === null || report.directorEpoch !== issuing.directorEpoch) return false
  const ours = issued?.directorEpoch === issuing.directorEpoch ? issued.generation : 0
  return report.generation > ours && report.generation <= ours + GENERATIONS_AHEAD_MAX
}
