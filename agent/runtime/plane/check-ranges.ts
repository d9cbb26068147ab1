/**
 * Do the values of a request lie where the manifest promises? A value that is no number, or that the
 * request does not have, lies in every range: other checks are for those. Pure; costs nothing where
 * the manifest has no ranges.
 */
import { featureValue } from '../../../shared/model/feature-value.ts'
import type { InputRange, Manifest } from '../../../shared/model/manifest.ts'
import { numberAt, type TensorValue } from '../../../shared/model/tensor-value.ts'

export interface OutsideRange {
  /** Of the input or of the feature. */
  readonly name: string
  readonly range: InputRange
  readonly value: number
  /** Of an input. */
  readonly element?: number
}

const NONE: readonly OutsideRange[] = []

/** One for each range that a value lies outside of, with the first such value. */
export function outsideRanges(
  inputs: readonly TensorValue[],
  { ranges, features }: Pick<Manifest, 'ranges' | 'features'>,
): readonly OutsideRange[] {
  if (ranges === undefined) return NONE
  return ranges.flatMap((range) => {
    const ofInput = inputs.find(({ name }) => name === range.input)
    if (ofInput !== undefined) return firstOutside(ofInput, range) ?? []
    const feature = features.find(({ name }) => name === range.feature)
    const value = feature && featureValue(feature, inputs)
    if (feature === undefined || value === undefined || value === null) return []
    return isOutside(value, range) ? { name: feature.name, range, value } : []
  })
}

function firstOutside(input: TensorValue, range: InputRange): OutsideRange | undefined {
  if (input.datatype === 'BYTES') return undefined
  const { length } = input.data
  for (let element = 0; element < length; element++) {
    const value = numberAt(input, element)
    if (isOutside(value, range)) return { name: input.name, range, value, element }
  }
  return undefined
}

const isOutside = (value: number, { min = -Infinity, max = Infinity }: InputRange): boolean =>
  value < min || value > max
