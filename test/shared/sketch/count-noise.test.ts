/** Noise on counts: its distribution, what it promises of one request, and what it leaves alone. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { armCounts } from '../../../shared/judge/arm-counts.ts'
import { createPrng } from '../../../shared/kernel/prng.ts'
import { discreteLaplace, noiseFacts, withCountNoise } from '../../../shared/sketch/count-noise.ts'
import { featureMoments, featureTotal } from '../../../shared/sketch/feature-bins.ts'
import { emptyWindow, type Window, windowShape } from '../../../shared/sketch/window.ts'
import { windowFromJson } from '../../../shared/sketch/window-check.ts'
import { recordLabel, recordRequest } from '../../../shared/sketch/window-record.ts'
import { anyWindow, someShape } from '../../fixtures/sketch-builders.ts'

const SHAPE = someShape()
/** Two features, classes, confidences, confusion. */
const TABLES = 5
const source = (seed: string) => {
  const prng = createPrng(seed)
  return () => prng.u32()
}
const noise = (epsilon: number) => ({ epsilon, features: SHAPE.features })

/** `n` requests, the ramp from `low` up to `low + 20`. */
function counted(n: number, low = 5): Window {
  const window = emptyWindow(SHAPE)
  for (let i = 0; i < n; i++) {
    recordRequest(window, SHAPE, {
      latencyMs: { total: 1 },
      features: [low + (20 * i) / n, i % 2],
      prediction: { classIndex: i % 3, confidence: 0.95 },
    })
    recordLabel(window, i % 3, 1)
  }
  return window
}

describe('The two-sided geometric distribution', () => {
  it.each([
    [1, 1],
    [1, 4],
    [3, 2],
    [7, 200],
  ])('is drawn exactly for epsilon %i/%i', (over, under) => {
    const uint32 = source(`laplace ${over}/${under}`)
    const draws = 40_000
    const seen = new Map<number, number>()
    for (let i = 0; i < draws; i++) {
      const z = discreteLaplace(over, under, uint32)
      seen.set(z, (seen.get(z) ?? 0) + 1)
    }
    const decay = Math.exp(-over / under)
    for (let z = -8; z <= 8; z++) {
      const p = ((1 - decay) / (1 + decay)) * decay ** Math.abs(z)
      const deviation = Math.sqrt(draws * p * (1 - p))
      expect(Math.abs((seen.get(z) ?? 0) - draws * p)).toBeLessThan(4.5 * deviation)
    }
  })

  it('has the mean and the spread that people are told', () => {
    const manifest = {
      reference: [...SHAPE.features],
      classes: { tensor: 'scores', names: ['still', 'healthy', 'fault'] },
      disclosure: { countNoise: { epsilon: 1 } },
    }
    const facts = noiseFacts(manifest)
    expect(facts).toMatchObject({ epsilon: 1, tables: TABLES, epsilonPerTable: 0.2 })
    const uint32 = source('spread')
    const draws = Array.from({ length: 40_000 }, () => discreteLaplace(1, 10, uint32))
    const mean = draws.reduce((sum, z) => sum + z, 0) / draws.length
    const deviation = Math.sqrt(draws.reduce((sum, z) => sum + z * z, 0) / draws.length)
    expect(Math.abs(mean)).toBeLessThan(0.3)
    expect(deviation).toBeCloseTo(facts?.countDeviation ?? 0, 0)
    expect(noiseFacts({ ...manifest, disclosure: {} })).toBeUndefined()
    const many = Array.from({ length: 17 }, (_, i) => `class-${i}`)
    const wide = { ...manifest, classes: { tensor: 'scores', names: many } }
    expect(noiseFacts(wide)?.tables).toBe(TABLES - 1)
  })
})

/** One feature of three bins, no classes: one table, which has all of epsilon. */
const SMALL = windowShape({
  serviceLevels: {
    ...{ latencyMsMax: 20, latencyBadShareMax: 0.05, errorRateMax: 0.02, qualityDropMax: 0.05 },
  },
  reference: [
    {
      ...{ feature: 'x', edges: [0, 1], counts: [1, 1, 1], mean: 0, sd: 1 },
      autocorrelationRows: 1,
    },
  ],
  classes: null,
})
const DRAWS = 60_000

/** How often each pair of first and last bin came out of these three counts. */
function outcomes(bins: readonly number[], epsilon: number): Map<string, number> {
  const window = emptyWindow(SMALL)
  window.n = 100
  window.features[0] = { ...window.features[0]!, bins: [...bins] }
  const uint32 = source(`ratio ${bins.join()}`)
  const seen = new Map<string, number>()
  for (let i = 0; i < DRAWS; i++) {
    const noised = withCountNoise(window, { epsilon, features: SMALL.features }, uint32)
    const [first, , last] = noised.features[0]!.bins
    const key = `${first},${last}`
    seen.set(key, (seen.get(key) ?? 0) + 1)
  }
  return seen
}

/** The largest ratio of probabilities that is surely there, over outcomes seen often. */
function ratioSeen(a: Map<string, number>, b: Map<string, number>): number {
  let largest = 0
  for (const [key, count] of a) {
    const other = b.get(key) ?? 0
    if (Math.min(count, other) < 100) continue
    // The ratio, less four standard errors of its logarithm.
    const slack = Math.exp(-4 * Math.sqrt(1 / count + 1 / other))
    largest = Math.max(largest, (count / other) * slack)
  }
  return largest
}

describe('What noise promises of one request', () => {
  // The same requests but for one, whose value lies in another bin.
  const before = [20, 20, 20]
  const after = [19, 20, 21]
  const ratios = (epsilon: number) => {
    const [a, b] = [outcomes(before, epsilon), outcomes(after, epsilon)]
    return Math.max(ratioSeen(a, b), ratioSeen(b, a))
  }

  it('holds: no outcome is more than exp(epsilon) times as likely', () => {
    expect(ratios(1.5)).toBeLessThanOrEqual(Math.exp(1.5))
    // And it is not more noise than was stated: the bound is nearly met.
    expect(ratios(1.5)).toBeGreaterThan(0.7 * Math.exp(1.5))
  })

  it('would be seen broken with two thirds of the noise', () => {
    expect(ratios(2.25)).toBeGreaterThan(Math.exp(1.5))
  })
})

describe('A window with noise', () => {
  it('is still one that a controller takes, whatever was counted', () => {
    fc.assert(
      fc.property(
        anyWindow(),
        fc.constantFrom(0.001, 0.5, 20),
        fc.string(),
        (window, epsilon, s) => {
          const noised = withCountNoise(window, noise(epsilon), source(s))
          expect(windowFromJson(structuredClone(noised)).ok).toBe(true)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('gives a verdict exactly the same counts, and tells times and outcomes as they were', () => {
    fc.assert(
      fc.property(anyWindow(), (window) => {
        const noised = withCountNoise(window, noise(0.5), source('exact'))
        expect(armCounts(noised)).toEqual(armCounts(window))
        const { features: _, outputs: __, labels: ___, ...rest } = window
        expect(noised).toMatchObject(rest)
      }),
      { numRuns: 40 },
    )
  })

  it('tells no single value, and moments of its bins alone', () => {
    const window = counted(20_000)
    const [ramp] = withCountNoise(window, noise(5), source('moments')).features
    const exact = featureMoments(window.features[0]!, SHAPE.features[0]!)
    const told = featureMoments(ramp!, SHAPE.features[0]!)
    expect(told?.mean).not.toBe(exact?.mean)
    expect(told?.mean).toBeCloseTo(exact?.mean ?? 0, 0)
    expect(told?.sd).toBeCloseTo(exact?.sd ?? 0, 0)
    expect(Math.abs(featureTotal(ramp!) - 20_000)).toBeLessThan(500)
  })

  it('differs in each of its tables', () => {
    const window = counted(1_000)
    const noised = withCountNoise(window, noise(1), source('tables'))
    expect(noised.features.map(({ bins }) => bins)).not.toEqual(window.features.map((f) => f.bins))
    expect(noised.features[0]?.bins).not.toEqual(window.features[0]?.bins)
    expect(noised.features[1]?.bins).not.toEqual(window.features[1]?.bins)
    expect(noised.outputs.classCounts).not.toEqual(window.outputs.classCounts)
    expect(noised.outputs.confidenceBins).not.toEqual(window.outputs.confidenceBins)
    expect(noised.labels.confusion).not.toEqual(window.labels.confusion)
  })

  it('leaves the window that it was made from alone', () => {
    const window = counted(100)
    const copy = structuredClone(window)
    withCountNoise(window, noise(1), source('pure'))
    expect(window).toEqual(copy)
  })
})

describe('A release without the policy', () => {
  it('has windows without noise; with it, windows of the same shape', () => {
    const parts = {
      serviceLevels: {
        ...{ latencyMsMax: 20, latencyBadShareMax: 0.05, errorRateMax: 0.02, qualityDropMax: 0.05 },
      },
      reference: [...SHAPE.features],
      classes: { tensor: 'scores', names: ['still', 'healthy', 'fault'] },
    }
    expect(windowShape(parts).noise).toBeUndefined()
    const noisy = windowShape({ ...parts, disclosure: { countNoise: { epsilon: 2 } } })
    expect(noisy.noise?.epsilon).toBe(2)
    expect(noisy.id).toBe(SHAPE.id)
  })
})
