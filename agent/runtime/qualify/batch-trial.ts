/**
 * What a batch is tried with: single requests made from the golden vectors, and the proposal of the
 * dimension along which they are put together. Pure.
 */
import { createPrng } from '../../../shared/kernel/prng.ts'
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { GoldenVector } from '../../../shared/model/golden.ts'
import { goldenValue } from '../../../shared/model/golden-compare.ts'
import type { Manifest } from '../../../shared/model/manifest.ts'
import {
  type NumericElements,
  type TensorValue,
  toHalf,
} from '../../../shared/model/tensor-value.ts'
import { type BatchAxes, fitsTogether, rowsOf } from '../plane/stack-batch.ts'

type Tensor = Manifest['inputs'][number]

/** Single requests that a batch is made of; more rows than these repeat them. */
export const TRIAL_REQUESTS = 8
/** Beyond what any real input is: what it does to its companions, a smaller one does as well. */
const LOUD = 1e4

/**
 * As the manifest says, or else along the first free dimension of each input; an input without any is
 * shared by all. Only a proposal: what is used is proved first. Errors: `batch.layout`.
 */
export function proposeInputAxes(inputs: readonly Tensor[]): Result<BatchAxes> {
  const isDeclared = inputs.some(({ batchAxis, equal }) => batchAxis !== undefined || equal)
  const axes: Record<string, number | null> = {}
  for (const { name, shape, batchAxis, equal, datatype } of inputs) {
    if (datatype === 'BYTES') return noLayout(`input ${name} is text`)
    if (isDeclared && batchAxis === undefined && !equal) {
      return noLayout(`the manifest gives input ${name} neither batchAxis nor equal`)
    }
    const free = shape.findIndex((size) => typeof size === 'string')
    axes[name] = isDeclared ? (batchAxis ?? null) : free < 0 ? null : free
  }
  if (Object.values(axes).some((axis) => axis !== null)) return ok(axes)
  return noLayout('no input has a free dimension')
}

/**
 * The batch axis of each output: what the manifest says, or else the one dimension that grew with the
 * rows of a run. Errors: `batch.layout`.
 */
export function findOutputAxes(
  single: readonly TensorValue[],
  rows: number,
  stacked: readonly TensorValue[],
  rowsStacked: number,
  declared: readonly Tensor[],
): Result<BatchAxes> {
  const axes: Record<string, number | null> = {}
  for (const { name, shape } of single) {
    const found = stacked.find((output) => output.name === name)?.shape ?? []
    const known = declared.find((output) => output.name === name)
    const grown = found.flatMap((size, d) => (size === shape[d] ? [] : [d]))
    const [axis = null] = grown
    const isWhole = axis === null || (shape[axis] === rows && found[axis] === rowsStacked)
    if (found.length !== shape.length || grown.length > 1 || !isWhole) {
      return noLayout(`output ${name} goes from [${shape}] to [${found}]`)
    }
    const expected = known?.batchAxis ?? (known?.equal ? null : axis)
    if (expected !== axis) return noLayout(`output ${name} grows along another dimension`)
    axes[name] = axis
  }
  return ok(axes)
}

/** @returns single requests that fit together; empty when the golden vectors give none. */
export function trialRequests(
  vectors: readonly GoldenVector[],
  axes: BatchAxes,
): readonly (readonly TensorValue[])[] {
  const given = vectors.map(({ inputs }) => inputs.map(goldenValue))
  const [first] = given
  if (first === undefined || rowsOf(first, axes) === undefined) return []
  const shared = (inputs: readonly TensorValue[]): readonly TensorValue[] =>
    inputs.map((tensor) =>
      axes[tensor.name] === null ? first.find(({ name }) => name === tensor.name)! : tensor,
    )
  const requests = given.map(shared).filter((inputs) => fitsTogether(first, inputs, axes))
  const prng = createPrng('batch-trial')
  while (requests.length < TRIAL_REQUESTS) {
    const mixed = requests[requests.length % given.length] ?? first
    requests.push(mixed.map((tensor) => shuffled(tensor, axes, prng.below)))
  }
  return requests.slice(0, TRIAL_REQUESTS)
}

/** The same values in another order: a valid request again, and another one. */
function shuffled(
  tensor: TensorValue,
  axes: BatchAxes,
  below: (bound: number) => number,
): TensorValue {
  if (axes[tensor.name] === null) return tensor
  const data = (tensor.data as NumericElements).slice()
  for (let i = data.length - 1; i > 0; i--) {
    const j = below(i + 1)
    const kept = data[i]!
    data[i] = data[j]!
    data[j] = kept
  }
  return { ...tensor, data }
}

/**
 * Companions that must not be noticed: one far louder than the others, as would move a scale that is
 * taken over the whole batch, and one of NaN. Empty where no input has floating point.
 */
export function badCompanions(
  inputs: readonly TensorValue[],
  axes: BatchAxes,
): readonly { readonly name: string; readonly inputs: readonly TensorValue[] }[] {
  const isFloat = ({ name, datatype }: TensorValue): boolean =>
    axes[name] !== null && datatype.startsWith('FP')
  if (!inputs.some(isFloat)) return []
  const filled = (value: (index: number) => number) =>
    inputs.map((tensor) => {
      if (!isFloat(tensor)) return tensor
      const data = (tensor.data as Float32Array).slice()
      const isHalf = tensor.datatype === 'FP16'
      for (let i = 0; i < data.length; i++) data[i] = isHalf ? toHalf(value(i)) : value(i)
      return { ...tensor, data }
    })
  return [
    { name: 'of large values', inputs: filled((i) => (i % 2 === 0 ? LOUD : -LOUD)) },
    { name: 'of NaN', inputs: filled(() => Number.NaN) },
  ]
}

function noLayout(found: string): Result<never> {
  return refuse('batch.layout', 'Requests of this model cannot be put together.', { found })
}
