/**
 * Reads a telemetry feature out of a request's tensor. The same code computes the reference rows at
 * `release create`, so that device and reference cannot disagree on what a feature is.
 */
import type { Feature } from './manifest.ts'
import { numberAt, type TensorValue } from './tensor-value.ts'

/** Binning every value of an image would take milliseconds; a sample of this size tells as much. */
const SAMPLED_MAX = 4_096

/** @returns null where the tensor is absent, is text, or has no element at the feature's offset. */
export function featureValue(feature: Feature, tensors: readonly TensorValue[]): number | null {
  const tensor = tensors.find(({ name }) => name === feature.tensor)
  if (tensor === undefined || tensor.datatype === 'BYTES') return null
  const { offset } = feature
  const available = tensor.data.length - offset
  if (available <= 0) return null
  if (feature.reduce === 'element') return numberAt(tensor, offset)
  const count = feature.count === 0 ? available : Math.min(feature.count, available)
  return reduceRange(feature.reduce, tensor, offset, count)
}

/** Every stride-th element, so that at most `SAMPLED_MAX` are read, evenly over the range. */
function reduceRange(
  reduce: Exclude<Feature['reduce'], 'element'>,
  tensor: TensorValue,
  offset: number,
  count: number,
): number {
  const stride = Math.ceil(count / SAMPLED_MAX)
  let n = 0
  let mean = 0
  let squares = 0
  let min = Infinity
  let max = -Infinity
  for (let i = offset; i < offset + count; i += stride) {
    const value = numberAt(tensor, i)
    // Welford's update: no cancellation for values far from zero.
    n++
    const difference = value - mean
    mean += difference / n
    squares += difference * (value - mean)
    if (value < min) min = value
    if (value > max) max = value
  }
  switch (reduce) {
    case 'mean':
      return mean
    case 'std':
      return Math.sqrt(squares / n)
    case 'min':
      return Number.isNaN(mean) ? mean : min
    case 'max':
      return Number.isNaN(mean) ? mean : max
  }
}
