/**
 * Several requests as one run: their tensors are put together along the batch axis, and the outputs
 * taken apart again. Pure; whether a model may be run like this is proved elsewhere (prove-batch.ts).
 *
 * Invariants: a request may bring several rows of its own, the same number in each of its tensors;
 * requests of one run are equal in every tensor that has no axis, and in every other dimension of
 * those that have one; each request gets its own copy of its outputs.
 */
import type {
  NumericElements,
  TensorElements,
  TensorValue,
} from '../../../shared/model/tensor-value.ts'
import { newElements, type StackMemory } from './stack-memory.ts'

/** The batch axis of each tensor by name; null: all requests of a run share it. */
export type BatchAxes = Readonly<Record<string, number | null>>

export interface BatchLayout {
  readonly inputs: BatchAxes
  readonly outputs: BatchAxes
}

/** @returns the rows that a request brings; undefined when its tensors do not agree on a number. */
export function rowsOf(inputs: readonly TensorValue[], axes: BatchAxes): number | undefined {
  let rows: number | undefined
  for (const { name, shape } of inputs) {
    const axis = axes[name]
    if (axis === undefined) return undefined
    if (axis === null) continue
    const size = shape[axis]
    if (size === undefined || size === 0 || (rows !== undefined && rows !== size)) return undefined
    rows = size
  }
  return rows
}

/** Whether two valid requests of one model can be put together. */
export function fitsTogether(
  a: readonly TensorValue[],
  b: readonly TensorValue[],
  axes: BatchAxes,
): boolean {
  return a.every((tensor, i) => {
    const other = b[i]?.name === tensor.name ? b[i] : b.find(({ name }) => name === tensor.name)
    if (other === undefined || other.shape.length !== tensor.shape.length) return false
    const axis = axes[tensor.name] ?? null
    if (!tensor.shape.every((size, d) => d === axis || size === other.shape[d])) return false
    return axis !== null || sameElements(tensor.data, other.data)
  })
}

/** As bits tell them, so 0 and -0 differ; NaN may hide any bits: such requests are run apart. */
function sameElements(a: TensorElements, b: TensorElements): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i] || !Object.is(a[i], b[i])) return false
  return true
}

/**
 * @param requests at least one; each fits together with the first.
 * @param memory where it is put; the caller gives it back when the run is over.
 */
export function stackInputs(
  requests: readonly (readonly TensorValue[])[],
  axes: BatchAxes,
  memory: Pick<StackMemory, 'take'> = NEW_MEMORY,
): readonly TensorValue[] {
  const [first = []] = requests
  return first.map((tensor, i) => {
    const axis = axes[tensor.name] ?? null
    if (axis === null) return tensor
    const parts = requests.map((inputs) =>
      inputs[i]?.name === tensor.name
        ? inputs[i]!
        : inputs.find(({ name }) => name === tensor.name)!,
    )
    return stackTensor(tensor, parts, axis, memory)
  })
}

const NEW_MEMORY: Pick<StackMemory, 'take'> = {
  take: (_name, like, length) => newElements(like, length),
}

function stackTensor(
  { name, datatype, shape }: TensorValue,
  parts: readonly TensorValue[],
  axis: number,
  memory: Pick<StackMemory, 'take'>,
): TensorValue {
  const rows = parts.reduce((sum, part) => sum + part.shape[axis]!, 0)
  const length = parts.reduce((sum, part) => sum + part.data.length, 0)
  const data = memory.take(name, parts[0]!.data as NumericElements, length)
  const outer = product(shape, 0, axis)
  let at = 0
  for (let o = 0; o < outer; o++) {
    for (const { data: elements } of parts) {
      const chunk = elements.length / outer
      const source = elements as NumericElements
      const piece = outer === 1 ? source : source.subarray(o * chunk, (o + 1) * chunk)
      data.set(piece as never, at)
      at += chunk
    }
  }
  return { name, datatype, shape: shape.with(axis, rows), data }
}

/**
 * @param rows of each request, in the order in which they were stacked.
 * @returns the outputs of each; undefined when an output does not have a row for each row.
 */
export function splitOutputs(
  outputs: readonly TensorValue[],
  rows: readonly number[],
  axes: BatchAxes,
): readonly (readonly TensorValue[])[] | undefined {
  const total = rows.reduce((sum, size) => sum + size, 0)
  const fits = outputs.every(({ name, shape }) => {
    const axis = axes[name]
    return axis === null || (axis !== undefined && shape[axis] === total)
  })
  if (!fits) return undefined
  let before = 0
  return rows.map((size) => {
    const own = outputs.map((tensor) => rowsFrom(tensor, axes[tensor.name] ?? null, before, size))
    before += size
    return own
  })
}

/** `size` rows from row `before` on, as a copy. */
function rowsFrom(
  tensor: TensorValue,
  axis: number | null,
  before: number,
  size: number,
): TensorValue {
  const { name, datatype, shape } = tensor
  const all = tensor.data as NumericElements
  if (axis === null) return { ...tensor, data: all.slice() }
  const outer = product(shape, 0, axis)
  const inner = product(shape, axis + 1, shape.length)
  const from = before * inner
  const length = size * inner
  if (outer === 1) {
    return { name, datatype, shape: shape.with(axis, size), data: all.slice(from, from + length) }
  }
  const stride = shape[axis]! * inner
  const data = newElements(all, outer * length)
  for (let o = 0; o < outer; o++) {
    const start = o * stride + from
    data.set(all.subarray(start, start + length) as never, o * length)
  }
  return { name, datatype, shape: shape.with(axis, size), data }
}

function product(shape: readonly number[], from: number, to: number): number {
  let size = 1
  for (let i = from; i < to; i++) size *= shape[i]!
  return size
}
