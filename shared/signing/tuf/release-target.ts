/**
 * May this device run this target? What the publishers signed about it must suit the device, and
 * nothing newer may have superseded it. Downloading and proving it is left to others.
 */
import { ok, type Result, refuse } from '../../kernel/result.ts'
import { type ReleaseTarget, releaseTargetSchema } from '../../model/release-target.ts'
import type { VerifiedTargets } from '../assignment.ts'
import type { FoundTarget } from './search.ts'

/** The delegation for proven releases, where a fleet has both. */
export const PRODUCTION_ROLE = 'production'
/** The delegation for releases that are not proven yet. */
export const STAGING_ROLE = 'staging'

export interface ReleaseConstraints {
  readonly model: string
  /** The device's firmware profile. */
  readonly profile: string
  /** Enrolled for staging: also takes releases that are not proven. */
  readonly staging: boolean
  /** Largest `minCounter` of this model that this device ever verified. */
  readonly minCounterSeen: number
}

/** Codes `release.malformed`, `.unproven`, `.model`, `.profile`, `.superseded`. */
export function checkReleaseTarget(
  target: FoundTarget,
  constraints: ReleaseConstraints,
): Result<ReleaseTarget> {
  const { model, profile, staging, minCounterSeen } = constraints
  const parsed = releaseTargetSchema.safeParse(target.file.custom)
  if (!parsed.success) {
    const found = parsed.error.issues[0]?.message ?? ''
    return refuse('release.malformed', `The target ${target.path} is no release.`, { found })
  }
  const release = parsed.data
  if (target.roles.includes(STAGING_ROLE) && !staging) {
    return refuse('release.unproven', 'The release is only signed for staging devices.', {
      found: target.roles.join(' > '),
    })
  }
  if (release.model !== model || !target.path.startsWith(`${model}/${release.version}/`)) {
    return refuse('release.model', 'The release is of another model.', {
      expected: model,
      found: `${release.model} as ${target.path}`,
    })
  }
  if (release.profiles.length > 0 && !release.profiles.includes(profile)) {
    return refuse('release.profile', 'The release is for other firmware profiles.', {
      expected: profile,
      found: release.profiles.join(', '),
    })
  }
  const counterMin = Math.max(minCounterSeen, release.minCounter)
  if (release.releaseCounter >= counterMin) return ok(release)
  return refuse('release.superseded', 'The release was superseded by its publishers.', {
    expected: `a release counter of at least ${counterMin}`,
    found: `${release.releaseCounter}`,
  })
}

/** The largest `minCounter` that those of a model tell who may not have staged releases, or may. */
export function newestMinCounter(
  targets: readonly FoundTarget[],
  { model, staging }: Pick<ReleaseConstraints, 'model' | 'staging'>,
): number {
  let newest = 0
  for (const { file, roles } of targets) {
    const release = releaseTargetSchema.safeParse(file.custom).data
    if (release?.model !== model || (roles.includes(STAGING_ROLE) && !staging)) continue
    newest = Math.max(newest, release.minCounter)
  }
  return newest
}

/** The verified targets in the form that assignments are checked against. */
export function verifiedTargets(
  snapshotVersion: number,
  found: readonly FoundTarget[],
): VerifiedTargets {
  const files = new Map(found.map(({ path, file }) => [path, file]))
  return {
    snapshotVersion,
    find(path) {
      const file = files.get(path)
      const sha256 = file?.hashes.get('sha256')
      return file === undefined || sha256 === undefined
        ? undefined
        : { sha256, length: file.length }
    },
  }
}
