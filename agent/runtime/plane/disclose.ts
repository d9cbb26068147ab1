/**
 * What of an answer leaves the device, by the release's signed policy: rounded scores, or only the
 * largest ones, so that many answers tell little of the model and of what it was trained on
 * (inversion, membership inference). Pure.
 *
 * Invariant: telemetry counts what the model said, not this; leaving out scores never changes the
 * predicted class, though coarse rounding may make two classes equal.
 */
import type { Manifest } from '../../../shared/model/manifest.ts'
import { fromHalf, type TensorValue, toHalf } from '../../../shared/model/tensor-value.ts'

type Scores = Float32Array | Float64Array

/** @returns `outputs` itself where the release has no policy. Only floating-point outputs are changed. */
export function disclosed(
  outputs: readonly TensorValue[],
  { disclosure, classes }: Pick<Manifest, 'disclosure' | 'classes'>,
): readonly TensorValue[] {
  if (disclosure === undefined) return outputs
  const { topK, decimals } = disclosure
  if (topK === undefined && decimals === undefined) return outputs
  return outputs.map((output) => {
    const { data, name } = output
    const scores = scoresOf(output)
    if (scores === undefined) return output
    const isScored = classes !== null && name === classes.tensor
    if (topK !== undefined && isScored) keepLargest(scores, classes.names.length, topK)
    if (decimals !== undefined) round(scores, 10 ** decimals)
    return {
      ...output,
      data: data instanceof Uint16Array ? Uint16Array.from(scores, toHalf) : scores,
    }
  })
}

/** A copy to change; half floats as numbers. */
function scoresOf({ data, datatype }: TensorValue): Scores | undefined {
  if (data instanceof Float32Array || data instanceof Float64Array) return data.slice()
  const isHalf = datatype === 'FP16' && data instanceof Uint16Array
  return isHalf ? Float32Array.from(data, fromHalf) : undefined
}

/**
 * In each row all but the `topK` largest become 0, or one below the least of those where that is not
 * above 0: logits may be negative, and none of the others may then look as large.
 */
function keepLargest(scores: Scores, columns: number, topK: number): void {
  for (let start = 0; start + columns <= scores.length; start += columns) {
    const row = scores.subarray(start, start + columns)
    const order = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b)
    const least = row[order[Math.min(topK, columns) - 1]!]!
    for (const column of order.slice(topK)) row[column] = least > 0 ? 0 : least - 1
  }
}

function round(scores: Scores, scale: number): void {
  for (let i = 0; i < scores.length; i++) {
    const value = scores[i]!
    if (Number.isFinite(value)) scores[i] = Math.round(value * scale) / scale
  }
}
