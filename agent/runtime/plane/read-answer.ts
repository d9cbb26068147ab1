/**
 * What telemetry reads out of an answer: is it a valid one, and which class does it predict? Pure.
 */
import type { Manifest } from '../../../shared/model/manifest.ts'
import { fromHalf, numberAt, type TensorValue } from '../../../shared/model/tensor-value.ts'
import { isSumFinite } from './finite-sum.ts'

/** Every element up to this many is looked at, of larger outputs an even sample. */
const SCANNED_MAX = 65_536

/** The name of the first output that holds NaN; infinity is a legitimate score. */
export function outputWithNan(outputs: readonly TensorValue[]): string | undefined {
  return outputs.find(holdsNan)?.name
}

function holdsNan({ datatype, data }: TensorValue): boolean {
  const stride = Math.max(1, Math.ceil(data.length / SCANNED_MAX))
  if (datatype === 'FP16') {
    for (let i = 0; i < data.length; i += stride) {
      if (Number.isNaN(fromHalf(data[i] as number))) return true
    }
    return false
  }
  if (datatype !== 'FP32' && datatype !== 'FP64') return false
  const values = data as Float32Array
  if (stride === 1 && isSumFinite(values)) return false
  for (let i = 0; i < values.length; i += stride) {
    const value = values[i]!
    if (Number.isNaN(value)) return true
  }
  return false
}

export interface Prediction {
  readonly classIndex: number
  /** Absent where the scores are neither probabilities nor can be made so. */
  readonly confidence?: number
}

/**
 * The class with the largest score, among as many elements as there are class names (a batch is
 * judged by its first row). Scores that are no probabilities count as logits (softmax).
 */
export function predictionOf(
  classes: Manifest['classes'],
  outputs: readonly TensorValue[],
): Prediction | undefined {
  if (classes === null) return undefined
  const scores = outputs.find(({ name }) => name === classes.tensor)
  if (scores === undefined || scores.data.length < classes.names.length) return undefined
  let classIndex = 0
  let best = -Infinity
  let sum = 0
  let least = Infinity
  for (let i = 0; i < classes.names.length; i++) {
    const score = numberAt(scores, i)
    sum += score
    if (score < least) least = score
    if (score > best) {
      best = score
      classIndex = i
    }
  }
  if (!Number.isFinite(sum)) return { classIndex }
  if (least >= 0 && Math.abs(sum - 1) < 0.01) return { classIndex, confidence: Math.min(1, best) }
  let total = 0
  for (let i = 0; i < classes.names.length; i++) total += Math.exp(numberAt(scores, i) - best)
  return { classIndex, confidence: 1 / total }
}
