/**
 * How to make up inputs for a model that came without golden vectors: `--input-spec` of
 * `linnet release create`, as JSON from input name to its making.
 */
import { z } from 'zod'

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
