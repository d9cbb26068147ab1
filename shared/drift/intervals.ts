/**
 * What bins alone prove about two distances of the unbinned values: the true one lies inside the
 * interval, wherever in its bin each value stood.
 */
import { assert } from '../kernel/assert.ts'

export interface Interval {
  readonly lower: number
  readonly upper: number
}

/** Shares at or below each end: 0 first, 1 last; B + 1 numbers for B bins. */
function cumulative(counts: readonly number[]): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0)
  assert(total > 0, 'no values to compare')
  const shares = [0]
  let seen = 0
  for (const count of counts) {
    seen += count
    shares.push(seen / total)
  }
  return shares
}

/** The statistic of Kolmogorov and Smirnov; both rows over the same bins, neither empty. */
export function ksInterval(reference: readonly number[], current: readonly number[]): Interval {
  const f = cumulative(reference)
  const g = cumulative(current)
  let lower = 0
  let upper = 0
  for (let i = 0; i < reference.length; i++) {
    lower = Math.max(lower, Math.abs(f[i + 1]! - g[i + 1]!))
    upper = Math.max(upper, f[i + 1]! - g[i]!, g[i + 1]! - f[i]!)
  }
  return { lower, upper }
}

export interface WassersteinInput {
  /** Where the bins begin and end: B + 1 ascending numbers, equal ones for bins of no width. */
  readonly ends: readonly number[]
  readonly reference: readonly number[]
  readonly current: readonly number[]
  /**
   * The difference of the means, a lower bound itself; absent when values beyond the outer ends
   * were counted into the outer bins, for then it bounds nothing.
   */
  readonly meanDifference?: number | undefined
}

/**
 * The first Wasserstein distance, in the unit of `ends`: the area between the two distribution
 * functions. `estimate` draws both as straight lines within each bin.
 */
export function wassersteinInterval(input: WassersteinInput): Interval & { estimate: number } {
  const { ends, reference, current } = input
  assert(ends.length === reference.length + 1, `${ends.length} ends, ${reference.length} bins`)
  const f = cumulative(reference)
  const g = cumulative(current)
  let lower = 0
  let upper = 0
  let estimate = 0
  for (let i = 0; i < reference.length; i++) {
    const width = ends[i + 1]! - ends[i]!
    lower += width * Math.max(0, f[i]! - g[i + 1]!, g[i]! - f[i + 1]!)
    upper += width * Math.max(f[i + 1]! - g[i]!, g[i + 1]! - f[i]!)
    estimate += width * meanGap(f[i]! - g[i]!, f[i + 1]! - g[i + 1]!)
  }
  const meanGapBound = Math.abs(input.meanDifference ?? 0)
  return { lower: Math.max(lower, meanGapBound), upper, estimate }
}

/** The mean of |x| along the line from `a` to `b`. */
function meanGap(a: number, b: number): number {
  const ends = Math.abs(a) + Math.abs(b)
  if (a * b >= 0) return ends / 2
  return (a * a + b * b) / (2 * ends)
}
