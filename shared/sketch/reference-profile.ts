/**
 * Builds the reference of each feature from the rows a release was validated on. Edges stand at the
 * quantiles k/(E+1); a value that alone holds 1/(2B) of the rows gets a bin of its own, because a
 * quantile edge inside such a value would say nothing. Constant or rounded data give fewer bins.
 *
 * The result goes into the signed manifest: same rows, same bytes.
 */
import { assert } from '../kernel/assert.ts'
import { ok, type Result, refuse } from '../kernel/result.ts'
import type { FeatureReference } from '../model/manifest.ts'
import { binOf } from './feature-bins.ts'

/** One row for each request: one value for each feature, null where it has none. */
export type ReferenceRow = readonly (number | null)[]

const INTERIOR_EDGES = 20
/** Fewer rows make bins of one or two, and every later window would look drifted. */
const ROWS_MIN = 40
const LAGS_MAX = 1000
/** E + 2 edges and two for each of at most 2 (E + 1) heavy values: a manifest takes 256. */
const INTERIOR_EDGES_MAX = 50

/**
 * @param features names in manifest order, one for each column.
 * Errors: `reference.too_few_rows`, `reference.row_length`, `reference.no_values`.
 */
export function buildReference(
  rows: readonly ReferenceRow[],
  features: readonly string[],
  interiorEdges = INTERIOR_EDGES,
): Result<FeatureReference[]> {
  assert(interiorEdges >= 1 && interiorEdges <= INTERIOR_EDGES_MAX, `${interiorEdges} edges`)
  if (rows.length < ROWS_MIN) {
    return refuse('reference.too_few_rows', 'The reference data has too few rows.', {
      expected: `at least ${ROWS_MIN} rows`,
      found: `${rows.length}`,
    })
  }
  const ragged = rows.findIndex((row) => row.length !== features.length)
  if (ragged >= 0) {
    return refuse('reference.row_length', `Row ${ragged + 1} of the reference data is ragged.`, {
      expected: `${features.length} values`,
      found: `${rows[ragged]!.length} values`,
    })
  }
  const references: FeatureReference[] = []
  for (const [column, feature] of features.entries()) {
    const cells = rows.map((row) => row[column] ?? null)
    const values = cells.filter((cell) => cell !== null).map((cell) => Math.fround(cell) + 0)
    const finite = values.filter(Number.isFinite)
    if (finite.length < ROWS_MIN) {
      return refuse('reference.no_values', `The reference says too little of ${feature}.`, {
        expected: `at least ${ROWS_MIN} finite values`,
        found: `${finite.length}`,
      })
    }
    const missing = cells.length - values.length
    const invalid = values.length - finite.length
    references.push({ ...describeValues(feature, finite, interiorEdges), missing, invalid })
  }
  return ok(references)
}

function describeValues(feature: string, values: number[], interiorEdges: number) {
  const edges = placeEdges(values, interiorEdges)
  const counts = new Array<number>(edges.length + 1).fill(0)
  for (const value of values) counts[binOf(edges, value)]!++
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return {
    feature,
    edges,
    counts,
    mean,
    sd: Math.sqrt(squares / values.length),
    autocorrelationRows: autocorrelationRows(values, mean),
  }
}

/** Least value, interior quantiles and heavy values, first number after the greatest. */
function placeEdges(values: readonly number[], interiorEdges: number): number[] {
  const sorted = Float64Array.from(values).sort()
  const binCount = interiorEdges + 1
  const edges = new Set<number>([sorted[0]!, nextAfter(sorted.at(-1)!)])
  for (let k = 1; k < binCount; k++) edges.add(Math.fround(quantile(sorted, k / binCount)))
  const heavy = values.length / (2 * binCount)
  for (let start = 0; start < sorted.length; ) {
    const value = sorted[start]!
    let end = start + 1
    while (end < sorted.length && sorted[end] === value) end++
    if (end - start >= heavy) edges.add(value).add(nextAfter(value))
    start = end
  }
  return [...edges].filter(Number.isFinite).sort((a, b) => a - b)
}

/** Linear interpolation between order statistics (type 7 of Hyndman and Fan 1996). */
function quantile(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1)
  const low = Math.floor(at)
  const high = Math.min(low + 1, sorted.length - 1)
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!)
}

/** The next float32 above `value`, so that [value, nextAfter) holds nothing but `value`. */
export function nextAfter(value: number): number {
  const view = new DataView(new ArrayBuffer(4))
  if (value === 0) return 2 ** -149
  view.setFloat32(0, value)
  view.setInt32(0, view.getInt32(0) + (value > 0 ? 1 : -1))
  return view.getFloat32(0) + 0
}

/**
 * Integrated autocorrelation time 1 + 2 sum rho_k, summed while neighbouring pairs stay positive
 * (Geyer 1992, initial positive sequence), rounded up to whole rows, at least 1.
 */
function autocorrelationRows(values: readonly number[], mean: number): number {
  const deviations = values.map((value) => value - mean)
  const covariance = (lag: number): number => {
    let sum = 0
    for (let i = lag; i < deviations.length; i++) sum += deviations[i]! * deviations[i - lag]!
    return sum
  }
  const variance = covariance(0)
  if (!(variance > 0)) return 1
  const lagsMax = Math.min(LAGS_MAX, Math.floor(deviations.length / 4))
  let pairs = 0
  for (let lag = 0; lag + 1 < lagsMax; lag += 2) {
    const pair = (covariance(lag) + covariance(lag + 1)) / variance
    if (pair <= 0) break
    pairs += pair
  }
  return Math.max(1, Math.ceil(2 * pairs - 1 - 1e-9))
}
