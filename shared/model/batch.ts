/**
 * Which dimension of a model's tensors is the batch, and how many rows a request has along it: what
 * protocols count as inferences. Pure. Whether requests may share a run is proved elsewhere.
 */
import type { TensorSpec } from './tensor.ts'
import type { TensorValue } from './tensor-value.ts'

type BatchableSpec = Pick<TensorSpec, 'name' | 'shape'> & {
  readonly batchAxis?: number | undefined
}

export interface BatchedTensors {
  readonly inputs: readonly BatchableSpec[]
  readonly outputs: readonly BatchableSpec[]
}

/** The dimension of one input that tells how many rows a request has. */
export interface RowAxis {
  readonly input: string
  readonly axis: number
}

/**
 * What the first dimension of all tensors is: free, and then it is the batch, as Triton assumes for
 * ONNX; or one, a batch of one request; or something else. Clients leave a batch out of the shapes
 * that they show, and expect classes for each row.
 */
export function leadingRows({ inputs, outputs }: BatchedTensors): 'free' | 'one' | 'none' {
  const shapes = [...inputs, ...outputs].map(({ shape }) => shape)
  if (shapes.every(([first]) => typeof first === 'string')) return 'free'
  return shapes.every(({ length, 0: first }) => length > 1 && first === 1) ? 'one' : 'none'
}

/** Whether a request may have any number of rows. */
export function isBatched(tensors: BatchedTensors): boolean {
  return leadingRows(tensors) === 'free'
}

/** @returns the axis that the manifest declares for an input; undefined: none. */
export function declaredRowAxis(inputs: readonly BatchableSpec[]): RowAxis | undefined {
  const spec = inputs.find(({ batchAxis }) => batchAxis !== undefined)
  return spec?.batchAxis === undefined ? undefined : { input: spec.name, axis: spec.batchAxis }
}

/** @returns the declared axis, else the free first one; undefined: each request is one row. */
export function rowAxisOf(tensors: BatchedTensors): RowAxis | undefined {
  const declared = declaredRowAxis(tensors.inputs)
  if (declared !== undefined) return declared
  const [first] = tensors.inputs
  return first !== undefined && isBatched(tensors) ? { input: first.name, axis: 0 } : undefined
}

/** @returns the rows of a request, at least one. */
export function rowsAlong(
  rowAxis: RowAxis | undefined,
  inputs: readonly Pick<TensorValue, 'name' | 'shape'>[],
): number {
  if (rowAxis === undefined) return 1
  const tensor = inputs.find(({ name }) => name === rowAxis.input)
  return Math.max(1, tensor?.shape[rowAxis.axis] ?? 1)
}
