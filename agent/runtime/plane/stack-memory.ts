/**
 * Memory into which the inputs of a batch are put together, used again and again: a new buffer for
 * each run costs as much as the copying. Invariants: two runs never share a buffer; of a tensor at
 * most `KEPT` are kept, and none that is larger than `KEPT_BYTES_MAX`.
 */
import type { NumericElements } from '../../../shared/model/tensor-value.ts'

export interface StackMemory {
  /** So many elements of the type of `like`; what is in them is anything. */
  take(name: string, like: NumericElements, length: number): NumericElements
  /** The run is over, and nothing of it refers to this memory any more. */
  giveBack(name: string, elements: NumericElements): void
}

const KEPT = 2
const KEPT_BYTES_MAX = 1_048_576

export function createStackMemory(): StackMemory {
  const free = new Map<string, NumericElements[]>()
  return {
    take(name, like, length) {
      const kept = free.get(name)?.pop()
      if (kept === undefined || kept.length < length) return newElements(like, length)
      return kept.length === length ? kept : kept.subarray(0, length)
    },
    giveBack(name, elements) {
      const { buffer, BYTES_PER_ELEMENT } = elements
      if (buffer.byteLength > KEPT_BYTES_MAX) return
      const kept = free.get(name) ?? []
      free.set(name, kept)
      // The whole of it, where a smaller batch took a part.
      const isPart = elements.length * BYTES_PER_ELEMENT < buffer.byteLength
      if (kept.length < KEPT) kept.push(isPart ? wholeOf(elements) : elements)
    },
  }
}

/** `elements` must begin its buffer. */
function wholeOf(elements: NumericElements): NumericElements {
  const ElementArray = elements.constructor as new (buffer: ArrayBufferLike) => NumericElements
  return new ElementArray(elements.buffer)
}

export function newElements(like: NumericElements, length: number): NumericElements {
  const ElementArray = like.constructor as new (length: number) => NumericElements
  return new ElementArray(length)
}
