/**
 * Does an output equal its golden value? |found - golden| <= absolute + relative * |golden|, element
 * by element. NaN passes nowhere, not even against NaN: a release must not promise it. Infinity
 * passes only as the same infinity.
 */
import type { GoldenTensor } from './golden.ts'
import type { Tolerance } from './manifest.ts'
import { describeTensor } from './tensor.ts'
import { elementsOf, numberAt, type TensorValue } from './tensor-value.ts'

export interface Comparison {
  readonly passed: boolean
  /** Largest absolute difference; null where nothing could be compared. */
  readonly differenceMax: number | null
  /** Empty when it passed. */
  readonly reason: string
}

export function goldenValue(tensor: GoldenTensor): TensorValue {
  return { ...tensor, data: elementsOf(tensor.datatype, tensor.data) }
}

/** Compares every golden output; the first that fails gives the reason. */
export function compareWithGolden(
  found: readonly TensorValue[],
  golden: readonly GoldenTensor[],
  tolerance: Tolerance,
): Comparison {
  return compareOutputs(found, golden.map(goldenValue), tolerance)
}

/** The same for outputs that another run gave. */
export function compareOutputs(
  found: readonly TensorValue[],
  expectedOutputs: readonly TensorValue[],
  tolerance: Tolerance,
): Comparison {
  let differenceMax: number | null = null
  let reason = ''
  for (const expected of expectedOutputs) {
    const tensor = found.find(({ name }) => name === expected.name)
    if (tensor === undefined) {
      reason ||= `output ${expected.name} is missing`
      continue
    }
    const compared = compareTensor(tensor, expected, tolerance)
    reason ||= compared.reason
    if (compared.differenceMax !== null) {
      differenceMax = Math.max(differenceMax ?? 0, compared.differenceMax)
    }
  }
  return { passed: reason === '', differenceMax, reason }
}

function compareTensor(
  found: TensorValue,
  golden: TensorValue,
  { absolute, relative }: Tolerance,
): Comparison {
  const sameShape =
    found.shape.length === golden.shape.length &&
    found.shape.every((size, i) => size === golden.shape[i])
  if (found.datatype !== golden.datatype || !sameShape) {
    const reason = `${golden.name}: expected ${describeTensor(golden)}, found ${describeTensor(found)}`
    return { passed: false, differenceMax: null, reason }
  }
  let differenceMax = 0
  let reason = ''
  for (let i = 0; i < golden.data.length; i++) {
    const a = numberAt(found, i)
    const b = numberAt(golden, i)
    const difference = a === b ? 0 : Math.abs(a - b)
    if (difference > differenceMax) differenceMax = difference
    const allowed = Number.isFinite(b) ? absolute + relative * Math.abs(b) : 0
    // Written so that NaN, which compares false with everything, fails.
    if (!(difference <= allowed) && reason === '') {
      reason = `${golden.name}[${i}]: expected ${b} within ${allowed.toPrecision(3)}, found ${a}`
    }
  }
  const finite = Number.isFinite(differenceMax) ? differenceMax : null
  return { passed: reason === '', differenceMax: finite, reason }
}
