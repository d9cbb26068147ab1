/**
 * What a window knows of one feature: counts in the bins of the release's reference, and moments.
 * Bin i holds the values v with exactly i edges <= v. The outer edges are the reference's least
 * value and the next number after its greatest, so the first bin counts what lies under the
 * reference and the last what lies over it.
 *
 * Invariants: a value is compared as float32, which is what most models see, on the device and when
 * the reference is built; moments are whole numbers (quanta of 1/256 reference standard deviation
 * from the reference mean), so that merging is exact and order does not matter. No value is kept as
 * such, not even the least and the greatest: what may leave a device is few-values.ts.
 */
import type { FeatureReference } from '../model/manifest.ts'
import { addRows } from './count-run.ts'

const QUANTA_PER_SD = 256
/** Deviations are cut at 64 standard deviations: one wild value must not drown a mean. */
export const QUANTA_MAX = 64 * QUANTA_PER_SD

export interface FeatureCounts {
  /** One count for each bin of the reference; `[0]` is under, the last is over. */
  bins: number[]
  /** Requests without the feature. */
  missing: number
  /** NaN or infinite. */
  invalid: number
  /** Sum of deviations, in quanta. */
  deviation: number
  /** Sum of squared deviations, in squared quanta. */
  deviationSquared: number
}

export function emptyFeature(binCount: number): FeatureCounts {
  return {
    bins: new Array<number>(binCount).fill(0),
    missing: 0,
    invalid: 0,
    deviation: 0,
    deviationSquared: 0,
  }
}

/** The number of edges at or below `value`: binary search over ascending edges. */
export function binOf(edges: readonly number[], value: number): number {
  let low = 0
  let high = edges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (edges[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low
}

/** A reference made ready for counting: what would else be worked out for every value. */
export interface FeatureScale {
  /** The reference's edges, filled up with infinity by as many as a search may look too far. */
  readonly edges: Float64Array
  /**
   * Their span in `CELLS` equal cells: how many edges lie in the cells before this one. Which cell a
   * value is in grows with it, so only the edges of its own cell are left to be compared with.
   */
  readonly edgesBefore: Uint16Array
  readonly cellsPerUnit: number
  /** 2^(k-1), where no cell holds more than 2^k - 1 edges: the first step of the search in a cell. */
  readonly stepMax: number
  readonly mean: number
  readonly quantaPerUnit: number
}

/** Enough that one step is left among the quantiles of a bell, and two among those of a long tail. */
const CELLS = 128

export function featureScale(reference: FeatureReference): FeatureScale {
  const { edges, mean } = reference
  const [low = 0] = edges
  const span = (edges.at(-1) ?? low) - low
  const cellsPerUnit = span > 0 ? CELLS / span : 0
  const inCell = new Uint16Array(CELLS)
  for (const edge of edges) inCell[cellOf(edge - low, cellsPerUnit)]!++
  const edgesBefore = new Uint16Array(CELLS)
  for (let i = 1; i < CELLS; i++) edgesBefore[i] = edgesBefore[i - 1]! + inCell[i - 1]!
  const most = Math.max(...inCell)
  let stepMax = 1
  while (2 * stepMax - 1 < most) stepMax *= 2
  const filled = new Float64Array(edges.length + 2 * stepMax).fill(Infinity)
  filled.set(edges)
  const quantaPerUnit = QUANTA_PER_SD / unitOf(reference)
  return { edges: filled, edgesBefore, cellsPerUnit, stepMax, mean, quantaPerUnit }
}

/**
 * Never falls while `distance` grows, whatever is rounded or overflows, which is all that counting
 * rests on. (0 times infinity, of a span too small or too large for its reciprocal, is cell 0.)
 */
function cellOf(distance: number, cellsPerUnit: number): number {
  return Math.min(Math.max(distance * cellsPerUnit, 0), CELLS - 1) | 0
}

/**
 * Counts one request's values, in place, each in its feature; null and undefined are missing, NaN
 * and infinity invalid. One loop without a branch on the value: real values make a binary search
 * guess wrong at every other step, which cost as much as all the rest.
 */
export function recordFeatures(
  counts: readonly FeatureCounts[],
  scales: readonly FeatureScale[],
  values: readonly (number | null | undefined)[],
): void {
  for (let i = 0; i < scales.length; i++) {
    const into = counts[i]!
    const value = values[i]
    if (value === null || value === undefined) {
      into.missing++
      continue
    }
    // Adding 0 turns -0 into 0, which JSON and CBOR would otherwise tell apart.
    const seen = Math.fround(value) + 0
    if (!(Math.abs(seen) < Infinity)) {
      into.invalid++
      continue
    }
    const { edges, edgesBefore, cellsPerUnit, stepMax, mean, quantaPerUnit } = scales[i]!
    let bin = edgesBefore[cellOf(seen - edges[0]!, cellsPerUnit)]!
    for (let step = stepMax; step > 0; step >>>= 1) {
      bin += -Number(edges[bin + step - 1]! <= seen) & step
    }
    into.bins[bin]!++
    // What `Math.round` compiles to has a branch on the value.
    const quanta = Math.floor((seen - mean) * quantaPerUnit + 0.5)
    const cut = quanta < -QUANTA_MAX ? -QUANTA_MAX : quanta > QUANTA_MAX ? QUANTA_MAX : quanta
    into.deviation += cut
    into.deviationSquared += cut * cut
  }
}

/** A feature that never varied in the reference is measured in its own unit. */
function unitOf(reference: FeatureReference): number {
  return reference.sd > 0 ? reference.sd : 1
}

/** Both must have the same bins; commutative and associative, `emptyFeature` is the identity. */
export function mergeFeature(a: FeatureCounts, b: FeatureCounts): FeatureCounts {
  return {
    bins: addRows(a.bins, b.bins),
    missing: a.missing + b.missing,
    invalid: a.invalid + b.invalid,
    deviation: a.deviation + b.deviation,
    deviationSquared: a.deviationSquared + b.deviationSquared,
  }
}

/**
 * Moments as if each value stood in the middle of its bin (in the outer ones: at the edge), for
 * counts whose values are not told.
 */
export function binnedMoments(
  bins: readonly number[],
  reference: FeatureReference,
): Pick<FeatureCounts, 'deviation' | 'deviationSquared'> {
  const { edges, mean } = reference
  const quantaPerUnit = QUANTA_PER_SD / unitOf(reference)
  let deviation = 0
  let deviationSquared = 0
  for (const [i, count] of bins.entries()) {
    const low = edges[i - 1] ?? edges[0] ?? mean
    const high = edges[i] ?? edges.at(-1) ?? mean
    const quanta = Math.round(((low + high) / 2 - mean) * quantaPerUnit)
    const cut = Math.max(-QUANTA_MAX, Math.min(QUANTA_MAX, quanta))
    deviation += count * cut
    deviationSquared += count * cut * cut
  }
  return { deviation, deviationSquared }
}

/** How many values were binned. */
export function featureTotal(counts: FeatureCounts): number {
  return counts.bins.reduce((sum, count) => sum + count, 0)
}

/**
 * Mean and standard deviation in the feature's unit, with deviations cut at 64 reference standard
 * deviations and rounded to 1/256 of one. @returns undefined when there are no values.
 */
export function featureMoments(
  counts: FeatureCounts,
  reference: FeatureReference,
): { mean: number; sd: number } | undefined {
  const n = featureTotal(counts)
  if (n === 0) return undefined
  const quantum = unitOf(reference) / QUANTA_PER_SD
  const mean = counts.deviation / n
  const variance = Math.max(0, counts.deviationSquared / n - mean * mean)
  return { mean: reference.mean + mean * quantum, sd: Math.sqrt(variance) * quantum }
}
