import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { compareCounts } from '../../../shared/drift/binned-scores.ts'
import { ksInterval, wassersteinInterval } from '../../../shared/drift/intervals.ts'
import { unwrap } from '../../../shared/kernel/result.ts'

/** Figures of one pair of windows, as the reference program printed them. */
interface Table {
  feature: string
  ref_counts: number[]
  cur_counts: number[]
  kl_ref_cur_smoothed: number
  kl_cur_ref_smoothed: number
  psi_smoothed: number
  js_divergence_nat: number
  js_distance_base2: number
  hellinger: number
  tvd: number
  linf: number
  chi2: number
  chi2_dof: number
  chi2_logp: number | null
  g: number
  cramers_v: number
}
interface Numeric extends Table {
  file: string
  min: number
  max: number
  edges: number[]
  ref_mean: number
  cur_mean: number
  ks: number
  ks_lower: number
  ks_upper: number
  wasserstein1: number
  w1_lower: number
  w1_upper: number
  w1_linear_interp: number
}

function near(actual: number, expected: number, tolerance: number): void {
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(
    tolerance * Math.max(1, Math.abs(expected)),
  )
}

function expectScores(table: Table): void {
  const scores = unwrap(compareCounts(table.ref_counts, table.cur_counts))
  near(scores.kl, table.kl_ref_cur_smoothed, 1e-9)
  near(scores.klReverse, table.kl_cur_ref_smoothed, 1e-9)
  near(scores.psi, table.psi_smoothed, 1e-9)
  near(scores.js, table.js_divergence_nat, 1e-9)
  near(scores.jsDistanceBase2, table.js_distance_base2, 1e-9)
  near(scores.hellinger, table.hellinger, 1e-9)
  near(scores.totalVariation, table.tvd, 1e-9)
  near(scores.lInfinity, table.linf, 1e-9)
  near(scores.chiSquare, table.chi2, 1e-9)
  near(scores.g, table.g, 1e-9)
  near(scores.cramersV, table.cramers_v, 1e-9)
  expect(scores.degreesOfFreedom).toBe(table.chi2_dof)
  if (table.chi2_logp === null) expect(scores.chiSquareLogP).toBeLessThan(-745)
  else near(scores.chiSquareLogP, table.chi2_logp, 1e-6)
}

function expectIntervals(table: Numeric): void {
  const { ref_counts: reference, cur_counts: current } = table
  const ks = ksInterval(reference, current)
  near(ks.lower, table.ks_lower, 1e-9)
  near(ks.upper, table.ks_upper, 1e-9)
  expect(ks.lower).toBeLessThanOrEqual(table.ks + 1e-12)
  expect(ks.upper).toBeGreaterThanOrEqual(table.ks - 1e-12)
  const distance = wassersteinInterval({
    ends: [table.min, ...table.edges, table.max],
    reference,
    current,
    meanDifference: table.cur_mean - table.ref_mean,
  })
  expect(distance.lower).toBeGreaterThanOrEqual(table.w1_lower - 1e-9)
  expect(distance.lower).toBeLessThanOrEqual(table.wasserstein1 * (1 + 1e-12))
  near(distance.upper, table.w1_upper, 1e-9)
  near(distance.estimate, table.w1_linear_interp, 1e-9)
}

const fixture: { numeric: Numeric[]; categorical: Table[] } = JSON.parse(
  readFileSync(new URL('../../fixtures/drift-reference.json', import.meta.url), 'utf8'),
)

describe('scores agree with scipy', () => {
  it.each(fixture.numeric)('on $feature of $file', (table) => {
    expectScores(table)
    expectIntervals(table)
  })
  it.each(fixture.categorical)('on the categories of $feature', expectScores)
})

const ORACLES = new URL('../../../../shared/oracles/drift-reference.json', import.meta.url)

describe.skipIf(!existsSync(ORACLES))(
  'scores agree with ../shared/oracles (skipped if absent)',
  () => {
    it('in every window pair and every number of bins', () => {
      // Python writes -Infinity, which is not JSON, where its p-value underflowed.
      const text = readFileSync(ORACLES, 'utf8').replaceAll('-Infinity', 'null')
      const { numeric }: { numeric: (Numeric & { bins: Record<string, object> })[] } =
        JSON.parse(text)
      const tables = numeric.flatMap(({ bins, ...pair }) =>
        Object.values(bins).map((bin) => ({ ...pair, ...bin })),
      )
      expect(tables).toHaveLength(30)
      for (const table of tables) {
        expectScores(table)
        expectIntervals(table)
      }
    })
  },
)
