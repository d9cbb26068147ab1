/**
 * What a window of few requests may tell. A feature may be one element of the input, and the sums of
 * one value are that value, to 1/512 of a standard deviation; of two, both. So sums leave a device for
 * `VALUES_MIN` values and more; of fewer they are those of the bins, as if each value stood in the
 * middle of its bin.
 *
 * Invariant: what is left of fewer values is a function of their bins alone. Bins are told always:
 * without noise (count-noise.ts) a window of one request says in which bin its value lies.
 */
import type { FeatureReference } from '../model/manifest.ts'
import { binnedMoments, type FeatureCounts, featureTotal } from './feature-bins.ts'
import type { Window } from './window.ts'

const VALUES_MIN = 20

/** True where `withoutFewValues` would change something. */
export function hasFewValues({ features }: Window): boolean {
  return features.some(isOfFew)
}

/** @param references of the window's features, in its order. */
export function withoutFewValues(window: Window, references: readonly FeatureReference[]): Window {
  if (!hasFewValues(window)) return window
  const features = window.features.map((counts, i) =>
    isOfFew(counts) ? { ...counts, ...binnedMoments(counts.bins, references[i]!) } : counts,
  )
  return { ...window, features }
}

function isOfFew(counts: FeatureCounts): boolean {
  const values = featureTotal(counts)
  return values > 0 && values < VALUES_MIN
}
