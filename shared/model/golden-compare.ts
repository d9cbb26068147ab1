/**
 * Does an output equal its golden value? |found - golden| <= absolute + relative * |golden|, element
 * by element. NaN passes nowhere, not even against NaN, where the tolerance does not say that it
 * may: a release must not promise it by accident. Infinity passes only as the same infinity, text
 * only as the same text.
 */
import { assert } from '../kernel/assert.ts'
import type { GoldenTensor } from './golden.ts'
import type { Tolerance } from './manifest.ts'
import { describeTensor, elementCount } from './tensor.ts'
import {
  bytesOf,
  elementsOf,
  type NumericElements,
  numberAt,
  type TensorValue,
} from './tensor-value.ts'
import { bytesOfStrings, stringsOf } from './text-elements.ts'

export interface Comparison {
  readonly passed: boolean
  /** Largest absolute difference; null where nothing could be compared. */
  readonly differenceMax: number | null
  /** Empty when it passed. */
  readonly reason: string
}

export function goldenValue({ name, datatype, shape, data }: GoldenTensor): TensorValue {
  if (datatype !== 'BYTES') return { name, datatype, shape, data: elementsOf(datatype, data) }
  const strings = stringsOf(data, elementCount(shape))
  assert(!('found' in strings), 'golden text was checked when it was decoded')
  return { name, datatype, shape, data: strings }
}

/** The other way. */
export function goldenTensor({ name, datatype, shape, data }: TensorValue): GoldenTensor {
  const bytes =
    datatype === 'BYTES'
      ? bytesOfStrings(data as readonly string[])
      : bytesOf(data as NumericElements)
  return { name, datatype, shape, data: bytes }
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
  { absolute, relative, nan }: Tolerance,
): Comparison {
  const sameShape =
    found.shape.length === golden.shape.length &&
    found.shape.every((size, i) => size === golden.shape[i])
  if (found.datatype !== golden.datatype || !sameShape) {
    const reason = `${golden.name}: expected ${describeTensor(golden)}, found ${describeTensor(found)}`
    return { passed: false, differenceMax: null, reason }
  }
  if (golden.datatype === 'BYTES') return compareText(found, golden)
  let differenceMax = 0
  let reason = ''
  for (let i = 0; i < golden.data.length; i++) {
    const a = numberAt(found, i)
    const b = numberAt(golden, i)
    if (nan === 'equal' && Number.isNaN(a) && Number.isNaN(b)) continue
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

function compareText(found: TensorValue, golden: TensorValue): Comparison {
  const at = (golden.data as readonly string[]).findIndex((text, i) => found.data[i] !== text)
  if (at < 0) return { passed: true, differenceMax: null, reason: '' }
  const [expected, other] = [golden.data[at], found.data[at]].map((text) => JSON.stringify(text))
  const reason = `${golden.name}[${at}]: expected ${expected}, found ${other}`
  return { passed: false, differenceMax: null, reason: reason.slice(0, 300) }
}
