import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createPrng } from '../../../shared/kernel/prng.ts'
import { mergeCounts } from '../../../shared/sketch/count-run.ts'
import {
  createLatencyHistogram,
  LATENCY_BIN_COUNT,
  type LatencyHistogram,
  latencyBin,
  latencyBinUpperMs,
  latencyCountAbove,
  latencyQuantileMs,
  latencyTotal,
  recordLatency,
} from '../../../shared/sketch/latency-histogram.ts'

function histogramOf(...valuesMs: number[]): LatencyHistogram {
  const histogram = createLatencyHistogram()
  for (const valueMs of valuesMs) recordLatency(histogram, valueMs)
  return histogram
}

const duration = fc.double({ min: 0, max: 3_600_000, noNaN: true })
const histogram = fc.array(duration, { maxLength: 60 }).map((values) => histogramOf(...values))

describe('latency histogram', () => {
  it('doubles every 32 bins, from 1 us to above one hour', () => {
    expect(latencyBin(0)).toBe(0)
    expect(latencyBin(0.001)).toBe(0)
    expect(latencyBin(0.002)).toBe(32)
    expect(latencyBin(0.004)).toBe(64)
    expect(latencyBin(0.00400001)).toBe(65)
    expect(latencyBin(3_600_000)).toBe(LATENCY_BIN_COUNT - 1)
    expect(latencyBinUpperMs(LATENCY_BIN_COUNT - 1)).toBeGreaterThan(3_600_000)
  })

  it('counts longer than an hour in its last bin and refuses what is no duration', () => {
    const counted = createLatencyHistogram()
    expect(recordLatency(counted, 1e12)).toBe(true)
    expect(counted).toEqual({ first: LATENCY_BIN_COUNT - 1, counts: [1] })
    for (const wrong of [-1, -1e-9, Number.NaN, Infinity]) {
      expect(recordLatency(counted, wrong)).toBe(false)
    }
    expect(latencyTotal(counted)).toBe(1)
  })

  it('has no quantile when empty', () => {
    expect(latencyQuantileMs(createLatencyHistogram(), 0.5)).toBeUndefined()
  })

  it('tells every quantile of durations above 1 us to 1.09 %', () => {
    const above = fc.double({ min: 0.001, max: 3_600_000, noNaN: true, minExcluded: true })
    const samples = fc.array(above, { minLength: 1, maxLength: 80 })
    fc.assert(
      fc.property(samples, fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
        const exact = values.toSorted((a, b) => a - b)[
          Math.max(0, Math.ceil(q * values.length) - 1)
        ]!
        const estimate = latencyQuantileMs(histogramOf(...values), q)!
        expect(Math.abs(estimate / exact - 1)).toBeLessThan(0.0109)
      }),
    )
  })

  it('tells about how many are above a limit', () => {
    const values = Array.from({ length: 1000 }, (_, i) => (i + 1) / 10)
    expect(latencyCountAbove(histogramOf(...values), 20)).toBeCloseTo(800, -1)
    expect(latencyCountAbove(histogramOf(...values), 0)).toBe(1000)
    expect(latencyCountAbove(histogramOf(...values), 200)).toBe(0)
  })

  it('merges in any order and grouping, with the empty histogram as identity', () => {
    fc.assert(
      fc.property(histogram, histogram, histogram, (a, b, c) => {
        expect(mergeCounts(a, b)).toEqual(mergeCounts(b, a))
        expect(mergeCounts(mergeCounts(a, b), c)).toEqual(mergeCounts(a, mergeCounts(b, c)))
        expect(mergeCounts(a, createLatencyHistogram())).toEqual(a)
      }),
    )
  })

  it('is the same whether durations are recorded together or merged from parts', () => {
    fc.assert(
      fc.property(fc.array(duration), fc.array(duration), (left, right) => {
        const merged = mergeCounts(histogramOf(...left), histogramOf(...right))
        expect(merged).toEqual(histogramOf(...left, ...right))
      }),
    )
  })

  it('leaves its operands alone when merging', () => {
    const random = createPrng('merge')
    const a = histogramOf(random.exponential(10), random.exponential(10))
    const before = structuredClone(a)
    recordLatency(mergeCounts(a, createLatencyHistogram()), 1)
    expect(a).toEqual(before)
  })
})
