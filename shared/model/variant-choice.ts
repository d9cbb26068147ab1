/**
 * Which variant of a release suits a class of devices, or why none does. Only what surely cannot fit
 * is refused here: the device measures for itself (qualification) before anything serves.
 */
import { ok, type Result, refuse } from '../kernel/result.ts'
import type { Manifest, Variant } from './manifest.ts'
import { releaseName } from './names.ts'
import type { FirmwareProfile } from './profile.ts'

const MIB = 2 ** 20
/**
 * A file is in memory twice while it is loaded: the bytes that were hashed, and the weights of the
 * session made of them. Less it cannot be; what a run adds depends on the model and is not guessed.
 */
const FILE_COPIES = 2

/**
 * In this order: a variant that names the profile before one that suits any, then the profile's order
 * of precisions, then its order of execution providers (where a variant says which it is meant for),
 * then the order of the manifest.
 * Errors: `variant.none_fits`, with the reason for each variant.
 */
export function chooseVariant(
  manifest: Pick<Manifest, 'model' | 'version' | 'variants'>,
  profile: FirmwareProfile,
): Result<Variant> {
  const reasons: string[] = []
  const fitting = manifest.variants.filter((variant) => {
    const reason = misfit(variant, profile)
    if (reason !== undefined) reasons.push(`${variant.name}: ${reason}`)
    return reason === undefined
  })
  const best = fitting.toSorted((a, b) => byRank(rankOf(a, profile), rankOf(b, profile)))[0]
  if (best !== undefined) return ok(best)
  const { artifactBytesMax, sessionMemoryMb } = profile.limits
  return refuse(
    'variant.none_fits',
    `No variant of ${releaseName(manifest)} suits ${profile.name}.`,
    {
      expected: [
        `precision ${profile.precisions.join(' or ')}`,
        `at most ${artifactBytesMax} bytes`,
        `${sessionMemoryMb} MiB of memory`,
        `for ${profile.executionProviders.join(' or ')}`,
      ].join(', '),
      found: reasons.join('; '),
      next: 'add a variant for this profile to the release',
    },
  )
}

/** Lower is better, the first difference decides. */
type Rank = readonly [named: number, precision: number, provider: number]

function rankOf(variant: Variant, profile: FirmwareProfile): Rank {
  const named = variant.profiles.includes(profile.name) ? 0 : 1
  const precision = profile.precisions.indexOf(variant.precision)
  return [named, precision, providersOf(variant, profile)[0] ?? 0]
}

function byRank(a: Rank, b: Rank): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}

/** Places in the profile's order of those that the variant is meant for, best first. */
function providersOf({ executionProviders }: Variant, profile: FirmwareProfile): number[] {
  return profile.executionProviders.flatMap((provider, place) =>
    executionProviders === undefined || executionProviders.includes(provider) ? place : [],
  )
}

function misfit(variant: Variant, profile: FirmwareProfile): string | undefined {
  const { artifactBytesMax, sessionMemoryMb } = profile.limits
  if (variant.profiles.length > 0 && !variant.profiles.includes(profile.name)) {
    return `meant for ${variant.profiles.join(', ')}`
  }
  if (!profile.precisions.includes(variant.precision)) {
    return `precision ${variant.precision} is not in the profile`
  }
  if (providersOf(variant, profile).length === 0) {
    return `meant for ${variant.executionProviders?.join(', ')}, which the profile does not have`
  }
  if (variant.artifact.length > artifactBytesMax) return `${variant.artifact.length} bytes`
  const { memoryMb } = variant
  if (memoryMb !== undefined) {
    return memoryMb > sessionMemoryMb ? `takes ${memoryMb} MiB of memory` : undefined
  }
  const estimatedMb = Math.ceil((variant.artifact.length * FILE_COPIES) / MIB)
  return estimatedMb > sessionMemoryMb
    ? `takes at least ${estimatedMb} MiB of memory, by its length`
    : undefined
}
