/**
 * One feature of a release against its reference: all scores, and whether they amount to drift.
 * Drift is said only when it is both significant (PSI over its calibrated threshold) and large
 * (debiased PSI over a practical limit). Valid at one look, for independent values; the monitor
 * with a false-alarm contract over time is another part.
 */
import { ok, type Result } from '../kernel/result.ts'
import type { FeatureReference } from '../model/manifest.ts'
import { type FeatureCounts, featureMoments } from '../sketch/feature-bins.ts'
import { type BinnedScores, compareCounts } from './binned-scores.ts'
import { type Interval, ksInterval, wassersteinInterval } from './intervals.ts'
import { debiasedPsi, psiThreshold } from './psi-threshold.ts'

export interface FeatureDrift {
  readonly feature: string
  readonly scores: BinnedScores
  readonly psiDebiased: number
  readonly psiThreshold: number
  readonly isDrifted: boolean
  readonly ks: Interval
  /** In the unit of the feature, with values outside the reference moved to its ends. */
  readonly wasserstein: Interval & { readonly estimate: number }
  /** Of the mean, in standard deviations of the reference; null when the reference is constant. */
  readonly meanShiftSd: number | null
  /** Of all requests, and of the rows of the reference (null when it does not say). */
  readonly missingShare: number
  readonly referenceMissingShare: number | null
  readonly underShare: number
  readonly overShare: number
}

const FALSE_ALARM_SHARE = 0.01
/** The customary border of "some change", here for the debiased score. */
const PSI_PRACTICAL = 0.1

/** Errors: `drift.bins_differ`, `drift.no_data`. */
export function featureDrift(
  reference: FeatureReference,
  current: FeatureCounts,
): Result<FeatureDrift> {
  // Bins empty on both sides say nothing, and smoothing them would (n and m differ).
  const isUsed = (_: number, i: number): boolean =>
    (reference.counts[i] ?? 0) + (current.bins[i] ?? 0) > 0
  const compared = compareCounts(reference.counts.filter(isUsed), current.bins.filter(isUsed))
  if (!compared.ok) return compared
  const scores = compared.value
  const { n, m, psi } = scores
  const binCount = scores.degreesOfFreedom + 1
  const threshold = psiThreshold(n, m, binCount, FALSE_ALARM_SHARE)
  const psiDebiased = debiasedPsi(psi, n, m, binCount)
  const moments = featureMoments(current, reference)
  const shift = moments === undefined ? 0 : moments.mean - reference.mean
  const requests = m + current.missing + current.invalid
  const { missing, invalid } = reference
  return ok({
    feature: reference.feature,
    scores,
    psiDebiased,
    psiThreshold: threshold,
    isDrifted: psi > threshold && psiDebiased > PSI_PRACTICAL,
    ks: ksInterval(reference.counts, current.bins),
    wasserstein: distanceOf(reference, current, shift),
    meanShiftSd: reference.sd > 0 ? shift / reference.sd : null,
    missingShare: current.missing / requests,
    referenceMissingShare: missing === undefined ? null : missing / (n + missing + (invalid ?? 0)),
    underShare: (current.bins[0] ?? 0) / m,
    overShare: (current.bins.at(-1) ?? 0) / m,
  })
}

/** Bins under and over the reference get no width: their values count as standing at its ends. */
function distanceOf(reference: FeatureReference, current: FeatureCounts, shift: number) {
  const { edges, counts, mean, sd } = reference
  const least = edges[0] ?? mean
  const greatest = edges.at(-1) ?? mean
  const isInside = current.bins[0] === 0 && current.bins.at(-1) === 0
  const ends = [least, ...edges, greatest]
  // A deviation is known to half a quantum, and not at all beyond 64 standard deviations. Of windows
  // with few values it is that of the middle of each value's bin (few-values.ts).
  const isBounded = isInside && Math.max(greatest - mean, mean - least) < 64 * sd
  const unknown = sd / 512 + meanHalfWidth(ends, current.bins)
  return wassersteinInterval({
    ...{ ends, reference: counts, current: current.bins },
    meanDifference: isBounded ? Math.max(0, Math.abs(shift) - unknown) : undefined,
  })
}

/** How far values are from the middle of their bins at most, on average. */
function meanHalfWidth(ends: readonly number[], bins: readonly number[]): number {
  let [sum, values] = [0, 0]
  for (const [i, count] of bins.entries()) {
    sum += (count * (ends[i + 1]! - ends[i]!)) / 2
    values += count
  }
  return values === 0 ? 0 : sum / values
}
