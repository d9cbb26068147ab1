/**
 * How to make up inputs for a model that came without golden vectors: `--input-spec` of
 * `linnet release create`, as JSON from input name to its making.
 */
import { z } from 'zod'
import type { TensorSpec } from './tensor.ts'

const inputMakingSchema = z.strictObject({
  /** Sizes for all dimensions; free ones default to 1. */
  shape: z.array(z.int().min(0)).max(16).exactOptional(),
  /** Range of the values: integers inclusive (default 0 to 1), floats uniform (default normal). */
  min: z.number().exactOptional(),
  max: z.number().exactOptional(),
  /** All elements have this value, for example a sample rate. */
  value: z.number().exactOptional(),
})
export type InputMaking = z.infer<typeof inputMakingSchema>

export const inputSpecSchema = z.record(z.string().max(256), inputMakingSchema)
export type InputSpec = z.infer<typeof inputSpecSchema>

const EXAMPLE_CHARS_MAX = 400

/** A specification that fits these inputs, to be typed and changed: the flag with its JSON, quoted. */
export function inputSpecExample(inputs: readonly TensorSpec[]): string {
  const makings = inputs.map(({ name, datatype, shape }): [string, InputMaking] => {
    const sizes = shape.map((size) => (typeof size === 'number' ? size : 1))
    const range = datatype === 'BYTES' ? {} : { min: 0, max: 1 }
    return [name, { shape: sizes, ...range }]
  })
  const whole = flag(makings)
  // A model of hundreds of inputs: the first says how the others go.
  return whole.length <= EXAMPLE_CHARS_MAX ? whole : flag(makings.slice(0, 1))
}

function flag(makings: readonly (readonly [string, InputMaking])[]): string {
  return `--input-spec '${JSON.stringify(Object.fromEntries(makings))}'`
}
