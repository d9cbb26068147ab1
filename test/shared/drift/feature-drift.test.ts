import { describe, expect, it } from 'vitest'
import { compareCounts } from '../../../shared/drift/binned-scores.ts'
import { type FeatureDrift, featureDrift } from '../../../shared/drift/feature-drift.ts'
import { debiasedPsi, psiThreshold } from '../../../shared/drift/psi-threshold.ts'
import { createPrng, type Prng } from '../../../shared/kernel/prng.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import type { FeatureReference } from '../../../shared/model/manifest.ts'
import { emptyFeature, featureScale, recordFeatures } from '../../../shared/sketch/feature-bins.ts'
import { buildReference } from '../../../shared/sketch/reference-profile.ts'

type Source = (random: Prng) => number | null
const normal: Source = (random) => random.normal()

function referenceOf(rows: number, source: Source = normal): FeatureReference {
  const random = createPrng('reference')
  const cells = Array.from({ length: rows }, () => [source(random)])
  return unwrap(buildReference(cells, ['feature']))[0]!
}
function driftOf(reference: FeatureReference, n: number, source: Source, seed = 'now') {
  const random = createPrng(seed)
  const counts = emptyFeature(reference.edges.length + 1)
  const scale = featureScale(reference)
  for (let i = 0; i < n; i++) recordFeatures([counts], [scale], [source(random)])
  return featureDrift(reference, counts)
}
const drifted = (...of: Parameters<typeof driftOf>): FeatureDrift => unwrap(driftOf(...of))

describe('a calibrated PSI', () => {
  it('alarms in about 1 % of windows without drift, where the customary 0.1 alarms in most', () => {
    const random = createPrng('psi calibration')
    const bins = 20
    const draw = (n: number): number[] => {
      const counts = new Array<number>(bins).fill(0)
      for (let i = 0; i < n; i++) counts[random.below(bins)]!++
      return counts
    }
    let customary = 0
    let calibrated = 0
    let sum = 0
    const windows = 2000
    for (let i = 0; i < windows; i++) {
      const { psi } = unwrap(compareCounts(draw(1000), draw(200)))
      if (psi > psiThreshold(1000, 200, bins, 0.01)) calibrated++
      sum += debiasedPsi(psi, 1000, 200, bins)
      if (unwrap(compareCounts(draw(1000), draw(100))).psi > 0.1) customary++
    }
    // 20 expected; 36 is the 99.9 % binomial bound.
    expect(calibrated).toBeLessThanOrEqual(36)
    expect(calibrated).toBeGreaterThan(4)
    expect(customary / windows).toBeGreaterThan(0.9)
    expect(Math.abs(sum / windows)).toBeLessThan(0.01)
  })
})

describe('drift of a feature', () => {
  const reference = referenceOf(5000)

  it('is not said of the data it was validated on', () => {
    for (const seed of ['a', 'b', 'c', 'd']) {
      expect(drifted(reference, 400, normal, seed).isDrifted).toBe(false)
    }
  })

  it('is said of a mean that moved by one standard deviation, with how far', () => {
    const drift = drifted(reference, 400, (random) => random.normal() + 1)
    expect(drift.isDrifted).toBe(true)
    expect(drift.meanShiftSd).toBeCloseTo(1, 0)
    // Straight lines through the wide outer bins overstate it somewhat; the interval holds anyway.
    expect(drift.wasserstein.estimate).toBeGreaterThan(0.9)
    expect(drift.wasserstein.estimate).toBeLessThan(1.2)
    expect(drift.wasserstein.lower).toBeLessThanOrEqual(drift.wasserstein.estimate)
    expect(drift.wasserstein.upper).toBeGreaterThanOrEqual(drift.wasserstein.estimate)
    expect(drift.scores.chiSquareLogP).toBeLessThan(-100)
  })

  it('is not said of a significant change too small to matter', () => {
    const large = referenceOf(50_000)
    const drift = drifted(large, 50_000, (random) => random.normal() + 0.08)
    expect(drift.scores.psi).toBeGreaterThan(drift.psiThreshold)
    expect(drift.isDrifted).toBe(false)
  })

  it('tells values under and over the reference, and missing ones', () => {
    const source: Source = (random) => {
      const unit = random.unit()
      if (unit < 0.1) return null
      return unit < 0.2 ? 100 : random.normal()
    }
    const drift = drifted(reference, 2000, source)
    expect(drift.isDrifted).toBe(true)
    expect(drift.missingShare).toBeCloseTo(0.1, 1)
    expect(drift.referenceMissingShare).toBe(0)
    expect(drift.overShare).toBeCloseTo(0.11, 1)
    expect(drift.underShare).toBeLessThan(0.01)
  })

  it('sees a category whose share moved, though most bins between categories stay empty', () => {
    const categories = referenceOf(2000, (random) => random.below(3))
    const moved = drifted(categories, 500, (random) => (random.chance(0.6) ? 2 : random.below(3)))
    expect(moved.isDrifted).toBe(true)
    expect(moved.scores.degreesOfFreedom).toBe(2)
    expect(drifted(categories, 500, (random) => random.below(3)).isDrifted).toBe(false)
  })

  it('is refused without values, and between different bins', () => {
    expect(driftOf(reference, 0, normal)).toMatchObject({ error: { code: 'drift.no_data' } })
    expect(compareCounts([1, 2], [1])).toMatchObject({ error: { code: 'drift.bins_differ' } })
  })
})
