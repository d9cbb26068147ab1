/**
 * How far a provider may be from the reference on a model that nobody described. A share of each value,
 * and where that is next to nothing, the same share of how large the values of an output get: what is
 * left near zero of a sum of large terms differs by that much between right implementations (a DFT on
 * a GPU: 1.3e-3 of 5), and a wrong one by far more. Of several outputs the smallest sets the measure.
 */
import type { GoldenVector } from '../../shared/model/golden.ts'
import { goldenValue } from '../../shared/model/golden-compare.ts'
import type { Tolerance } from '../../shared/model/manifest.ts'
import { numberAt } from '../../shared/model/tensor-value.ts'

const RELATIVE = 1e-3
const ABSOLUTE_MIN = 1e-4

/** @param vectors of the reference. NaN is for both or for neither: the same graph, the same inputs. */
export function unsignedTolerance(vectors: readonly GoldenVector[]): Tolerance {
  const peaks = new Map<string, number>()
  for (const golden of vectors.flatMap(({ outputs }) => outputs)) {
    if (!golden.datatype.startsWith('FP')) continue
    const tensor = goldenValue(golden)
    let peak = peaks.get(golden.name) ?? 0
    for (let i = 0; i < tensor.data.length; i++) {
      const size = Math.abs(numberAt(tensor, i))
      if (size > peak && size < Infinity) peak = size
    }
    peaks.set(golden.name, peak)
  }
  const least = peaks.size === 0 ? 0 : Math.min(...peaks.values())
  const absolute = Math.max(ABSOLUTE_MIN, RELATIVE * least)
  return { absolute, relative: RELATIVE, nan: 'equal' }
}
