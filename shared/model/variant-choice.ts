/** Which variant of a release suits a class of devices, or why none does. */
import { ok, type Result, refuse } from '../kernel/result.ts'
import type { Manifest, Variant } from './manifest.ts'
import { releaseName } from './names.ts'
import type { FirmwareProfile } from './profile.ts'

/**
 * A variant that names the profile wins over one that suits by precision; among those, the
 * profile's order of precisions decides.
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
  const rank = (variant: Variant): number =>
    (variant.profiles.includes(profile.name) ? 0 : 100) +
    profile.precisions.indexOf(variant.precision)
  const best = fitting.toSorted((a, b) => rank(a) - rank(b))[0]
  if (best !== undefined) return ok(best)
  return refuse(
    'variant.none_fits',
    `No variant of ${releaseName(manifest)} suits ${profile.name}.`,
    {
      expected: `precision ${profile.precisions.join(' or ')}, at most ${profile.limits.artifactBytesMax} bytes`,
      found: reasons.join('; '),
      next: 'add a variant for this profile to the release',
    },
  )
}

function misfit(variant: Variant, profile: FirmwareProfile): string | undefined {
  if (variant.profiles.length > 0 && !variant.profiles.includes(profile.name)) {
    return `meant for ${variant.profiles.join(', ')}`
  }
  if (!profile.precisions.includes(variant.precision)) {
    return `precision ${variant.precision} is not in the profile`
  }
  if (variant.artifact.length > profile.limits.artifactBytesMax) {
    return `${variant.artifact.length} bytes`
  }
  return undefined
}
