import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createPrng } from '../../../shared/kernel/prng.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import type { FeatureReference } from '../../../shared/model/manifest.ts'
import {
  binOf,
  emptyFeature,
  type FeatureCounts,
  featureMoments,
  featureScale,
  featureTotal,
  mergeFeature,
  recordFeatures,
} from '../../../shared/sketch/feature-bins.ts'
import { buildReference, nextAfter } from '../../../shared/sketch/reference-profile.ts'

type Value = number | null

function referenceOf(values: readonly Value[], interiorEdges?: number): FeatureReference {
  const rows = values.map((value) => [value])
  return unwrap(buildReference(rows, ['feature'], interiorEdges))[0]!
}
function countsOf(reference: FeatureReference, values: readonly Value[]): FeatureCounts {
  const counts = emptyFeature(reference.edges.length + 1)
  const scale = featureScale(reference)
  for (const value of values) recordFeatures([counts], [scale], [value])
  return counts
}

const ramp = Array.from({ length: 2100 }, (_, i) => i)

describe('the reference of a feature', () => {
  it('has 20 interior edges at equal quantiles, and an edge at each end', () => {
    const { edges, counts } = referenceOf(ramp)
    expect(edges).toHaveLength(22)
    expect(edges[0]).toBe(0)
    expect(edges.at(-1)).toBe(nextAfter(2099))
    expect(counts).toEqual([0, ...new Array(21).fill(100), 0])
  })

  it('gives a value that holds 1/(2B) of the rows a bin of its own', () => {
    // B = 21 bins of 2,100 rows: 50 rows are heavy, 49 are not.
    const heavy = referenceOf([...ramp.slice(50), ...new Array(50).fill(777.5)])
    expect(heavy.counts[binOf(heavy.edges, 777.5)]).toBe(50)
    const light = referenceOf([...ramp.slice(49), ...new Array(49).fill(777.5)])
    expect(light.counts[binOf(light.edges, 777.5)]).toBeGreaterThan(50)
  })

  it('of a constant has one bin, and tells under from over', () => {
    const constant = referenceOf(new Array(100).fill(0.1))
    expect(constant.counts).toEqual([0, 100, 0])
    expect(constant.sd).toBe(0)
    expect(countsOf(constant, [0.1, 0.0999, 0.1001, 0.1]).bins).toEqual([1, 2, 1])
  })

  it('knows mean, deviation, and rows without a usable value', () => {
    const reference = referenceOf([...ramp, null, Number.NaN, null])
    expect(reference).toMatchObject({ mean: 1049.5, missing: 2, invalid: 1 })
    expect(reference.sd).toBeCloseTo(Math.sqrt((2100 ** 2 - 1) / 12), 9)
  })

  it('forgets itself at once when rows are independent, late when they are not', () => {
    const random = createPrng('autocorrelation')
    const white = Array.from({ length: 12_000 }, () => random.normal())
    let level = 0
    const red = white.map((step) => {
      level = 0.9 * level + step
      return level
    })
    expect(referenceOf(white).autocorrelationRows).toBeLessThanOrEqual(2)
    // An AR(1) at 0.9 has the integrated time (1 + 0.9)/(1 - 0.9) = 19.
    const rows = referenceOf(red).autocorrelationRows
    expect(rows).toBeGreaterThan(13)
    expect(rows).toBeLessThan(26)
  })

  it('is refused from too few, ragged or empty rows', () => {
    const few = buildReference([[1]], ['feature'])
    expect(few).toMatchObject({ error: { code: 'reference.too_few_rows', found: '1' } })
    const ragged = buildReference([...ramp.map((i) => [i]), [1, 2]], ['feature'])
    expect(ragged).toMatchObject({ error: { code: 'reference.row_length' } })
    const empty = buildReference(
      ramp.map(() => [null]),
      ['feature'],
    )
    expect(empty).toMatchObject({ error: { code: 'reference.no_values' } })
  })

  it('counts each reference value where a device would count it', () => {
    const any = fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), {
      minLength: 40,
      maxLength: 120,
    })
    fc.assert(
      fc.property(any, (values) => {
        const reference = referenceOf(values)
        const counts = countsOf(reference, values)
        expect(counts.bins).toEqual(reference.counts)
        expect(counts.bins[0]).toBe(0)
        expect(counts.bins.at(-1)).toBe(0)
      }),
      { numRuns: 50 },
    )
  })
})

describe('counting a value', () => {
  const float = fc.float({ noNaN: true, noDefaultInfinity: true })
  const kinds = {
    'spread floats': float,
    'doubles of every size': fc.double({ noNaN: true, noDefaultInfinity: true }),
    'many in one place': fc.oneof(
      float,
      fc.integer({ min: 0, max: 400 }).map((i) => i / 4096),
    ),
    'the least numbers there are': fc.integer({ min: -300, max: 300 }).map((i) => i * 5e-324),
    'few, often the same': fc.integer({ min: -3, max: 3 }),
  }
  const orderly = (edges: readonly number[]) => edges.map((edge) => edge + 0).sort((a, b) => a - b)

  it.each(Object.entries(kinds))(
    'puts it where binary search over the edges puts it: %s',
    (_, edge) => {
      const edgesOf = fc.array(edge, { maxLength: 256, size: 'max' }).map(orderly)
      fc.assert(
        fc.property(edgesOf, fc.array(fc.oneof(edge, float)), (edges, others) => {
          const moments = { mean: 0, sd: 1, autocorrelationRows: 1 }
          const reference = { feature: 'x', edges, counts: [], ...moments }
          const seen = [...edges, ...others].map(Math.fround).filter(Number.isFinite)
          const expected = new Array<number>(edges.length + 1).fill(0)
          for (const value of seen) expected[binOf(edges, value)]! += 1
          expect(countsOf(reference, seen).bins).toEqual(expected)
        }),
        { numRuns: 40 },
      )
    },
  )

  it('rounds its deviation to the nearest quantum', () => {
    const reference = { ...referenceOf(ramp), mean: 0, sd: 1 }
    const quanta = [-1.51, -0.49, 0, 0.49, 1.51]
    const sums = quanta.map((quantum) => countsOf(reference, [quantum / 256]).deviation)
    expect(sums).toEqual([-2, 0, 0, 0, 2])
  })
})

describe('the counts of a feature', () => {
  const reference = referenceOf(ramp)

  it('tell under, over, missing and invalid apart', () => {
    const counts = countsOf(reference, [-1, 2100, null, Number.NaN, -Infinity, 1e300, 5])
    expect(counts.bins[0]).toBe(1)
    expect(counts.bins.at(-1)).toBe(1)
    expect(counts).toMatchObject({ missing: 1, invalid: 3 })
    expect(featureTotal(counts)).toBe(3)
  })

  it('see a float32 as the double it came from', () => {
    const tenths = referenceOf(Array.from({ length: 100 }, (_, i) => (i % 10) / 10))
    const fromDoubles = countsOf(tenths, [0.1, 0.2, 0.3])
    expect(countsOf(tenths, [0.1, 0.2, 0.3].map(Math.fround))).toEqual(fromDoubles)
  })

  it('know mean and standard deviation to 1/512 of the reference deviation', () => {
    const moments = featureMoments(countsOf(reference, [100, 200, 600]), reference)!
    expect(Math.abs(moments.mean - 300)).toBeLessThan(reference.sd / 512)
    expect(Math.abs(moments.sd - 216.02)).toBeLessThan(reference.sd / 256)
    expect(featureMoments(emptyFeature(23), reference)).toBeUndefined()
  })

  it('do not let one wild value drown the mean', () => {
    const moments = featureMoments(countsOf(reference, [...ramp, 1e30]), reference)!
    expect(Math.abs(moments.mean - reference.mean)).toBeLessThan(0.04 * reference.sd)
  })

  it('merge in any order and grouping, exactly', () => {
    const value = fc.oneof(fc.double(), fc.constant(null), fc.nat(3000))
    const counts = fc.array(value, { maxLength: 30 }).map((values) => countsOf(reference, values))
    fc.assert(
      fc.property(counts, counts, counts, (a, b, c) => {
        expect(mergeFeature(a, b)).toEqual(mergeFeature(b, a))
        const left = mergeFeature(mergeFeature(a, b), c)
        expect(left).toEqual(mergeFeature(a, mergeFeature(b, c)))
        expect(mergeFeature(a, emptyFeature(23))).toEqual(a)
      }),
    )
  })
})
