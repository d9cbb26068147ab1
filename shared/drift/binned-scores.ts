/**
 * How far two rows of counts lie apart: reference P, current Q, both over the same bins. Exact for
 * the binned law; for a continuous one every divergence here is a lower bound. Logarithms natural.
 *
 * Jeffreys' smoothing (a half in each bin) is used where a score would be infinite otherwise: KL
 * and PSI. All others use the plain shares. Chi-square and G leave out bins that are empty in both.
 */
import { ok, type Result, refuse } from '../kernel/result.ts'
import { chiSquareLogTail } from './special-functions.ts'

export interface BinnedScores {
  /** Sums of the counts. */
  readonly n: number
  readonly m: number
  /** KL(P, Q) and KL(Q, P), smoothed. */
  readonly kl: number
  readonly klReverse: number
  /** Population stability index: the sum of both; see thresholds.ts before comparing it to 0.1. */
  readonly psi: number
  /** Jensen and Shannon's divergence, and its square root with logarithms of base 2, in [0, 1]. */
  readonly js: number
  readonly jsDistanceBase2: number
  readonly hellinger: number
  readonly totalVariation: number
  /** Largest difference in one bin. */
  readonly lInfinity: number
  /** Pearson's test of homogeneity over the 2 x B table, without continuity correction. */
  readonly chiSquare: number
  readonly chiSquareLogP: number
  /** The likelihood-ratio test of the same table. */
  readonly g: number
  readonly gLogP: number
  readonly degreesOfFreedom: number
  /** Chi-square as an effect size in [0, 1], whatever the number of rows. */
  readonly cramersV: number
}

/** Errors: `drift.bins_differ`, `drift.no_data`. */
export function compareCounts(
  reference: readonly number[],
  current: readonly number[],
): Result<BinnedScores> {
  if (reference.length !== current.length || reference.length === 0) {
    return refuse('drift.bins_differ', 'The counts are not over the same bins.', {
      expected: `${reference.length} bins`,
      found: `${current.length} bins`,
    })
  }
  const n = total(reference)
  const m = total(current)
  if (n === 0 || m === 0) {
    return refuse('drift.no_data', 'There is nothing to compare yet.', {
      expected: 'at least one value on each side',
      found: `${n} reference values and ${m} current ones`,
    })
  }
  return ok({ n, m, ...divergences(reference, current), ...distances(reference, current, n, m) })
}

function divergences(reference: readonly number[], current: readonly number[]) {
  const p = smoothed(reference)
  const q = smoothed(current)
  const kl = divergence(p, q)
  const klReverse = divergence(q, p)
  return { kl, klReverse, psi: kl + klReverse }
}

function distances(reference: readonly number[], current: readonly number[], n: number, m: number) {
  const p = reference.map((count) => count / n)
  const q = current.map((count) => count / m)
  const middle = p.map((share, i) => (share + q[i]!) / 2)
  const js = Math.max(0, (divergence(p, middle) + divergence(q, middle)) / 2)
  const differences = p.map((share, i) => Math.abs(share - q[i]!))
  // The form without cancellation: 1 - sum sqrt(p q) loses all digits for near-equal laws.
  const rootGaps = p.map((share, i) => (Math.sqrt(share) - Math.sqrt(q[i]!)) ** 2)
  return {
    js,
    jsDistanceBase2: Math.sqrt(js / Math.LN2),
    hellinger: Math.sqrt(total(rootGaps) / 2),
    totalVariation: total(differences) / 2,
    lInfinity: Math.max(...differences),
    ...tableTests(reference, current, n, m),
  }
}

function tableTests(
  reference: readonly number[],
  current: readonly number[],
  n: number,
  m: number,
) {
  let chiSquare = 0
  let g = 0
  let usedBins = 0
  for (const [i, left] of reference.entries()) {
    const right = current[i]!
    const column = left + right
    if (column === 0) continue
    usedBins++
    for (const [count, row] of [
      [left, n],
      [right, m],
    ] as const) {
      const expected = (column * row) / (n + m)
      chiSquare += (count - expected) ** 2 / expected
      if (count > 0) g += 2 * count * Math.log(count / expected)
    }
  }
  const degreesOfFreedom = usedBins - 1
  return {
    chiSquare,
    chiSquareLogP: chiSquareLogTail(chiSquare, degreesOfFreedom),
    g,
    gLogP: chiSquareLogTail(g, degreesOfFreedom),
    degreesOfFreedom,
    cramersV: Math.sqrt(chiSquare / (n + m)),
  }
}

/** (c + 1/2)/(n + B/2). */
function smoothed(counts: readonly number[]): number[] {
  const sum = total(counts) + counts.length / 2
  return counts.map((count) => (count + 0.5) / sum)
}

/** KL(p, q) with 0 ln 0 = 0; q must be positive wherever p is. */
function divergence(p: readonly number[], q: readonly number[]): number {
  return total(p.map((share, i) => (share > 0 ? share * Math.log(share / q[i]!) : 0)))
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
