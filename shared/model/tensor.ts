/** What a tensor looks like: names of the Open Inference Protocol v2, shapes with free dimensions. */
import { z } from 'zod'

/** Data types of the Open Inference Protocol v2; BYTES carries strings. */
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const
export const datatypeSchema = z.enum(DATATYPES)
export type Datatype = z.infer<typeof datatypeSchema>

/** Bytes of one element in the binary form; BYTES elements are length-prefixed and have none. */
export const DATATYPE_BYTES: Readonly<Record<Exclude<Datatype, 'BYTES'>, number>> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  FP32: 4,
  FP64: 8,
}

export const DIMENSION_NAME_LENGTH_MAX = 128
/** A fixed size, or the symbolic name of a free dimension (which may be empty). */
const dimensionSchema = z.union([z.int().min(0), z.string().max(DIMENSION_NAME_LENGTH_MAX)])

/** Exporters spell whole paths of modules into the names of tensors. */
export const TENSOR_NAME_LENGTH_MAX = 1_024
export const tensorNameSchema = z.string().min(1).max(TENSOR_NAME_LENGTH_MAX)

export const tensorSpecSchema = z.strictObject({
  name: tensorNameSchema,
  datatype: datatypeSchema,
  shape: z.array(dimensionSchema).max(16),
  /** The model does not even tell the rank: every shape is taken, and `shape` is empty. */
  anyShape: z.literal(true).exactOptional(),
})
export type TensorSpec = z.infer<typeof tensorSpecSchema>

/** True when every fixed dimension agrees; a free dimension takes any size. */
export function shapeFits(spec: readonly (number | string)[], shape: readonly number[]): boolean {
  return (
    spec.length === shape.length &&
    spec.every((size, i) => typeof size === 'string' || size === shape[i])
  )
}

/** Whether a tensor of this shape is what is specified. */
export function takesShape(
  spec: Pick<TensorSpec, 'shape' | 'anyShape'>,
  shape: readonly number[],
): boolean {
  return spec.anyShape === true || shapeFits(spec.shape, shape)
}

/** `FP32 [batch,3,128]`, for messages. */
export function describeTensor(spec: {
  readonly datatype: string
  readonly shape: readonly (number | string)[]
  readonly anyShape?: true
}): string {
  if (spec.anyShape === true) return `${spec.datatype} of any shape`
  const sizes = spec.shape.map((size) => (size === '' ? '?' : String(size)))
  return `${spec.datatype} [${sizes.join(',')}]`
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}
