/**
 * Tensor data as bytes: the binary tensor data extension of the Open Inference Protocol v2. Elements
 * are little-endian and row-major; BYTES elements carry a 4-byte length each. Numeric inputs are
 * views into the request's body, not copies, where the offset is aligned.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { DATATYPE_BYTES, type Datatype } from '../../shared/model/tensor.ts'
import {
  bytesOf,
  elementsOf,
  type NumericElements,
  type TensorElements,
  type TensorValue,
} from '../../shared/model/tensor-value.ts'
import { bytesOfStrings, stringsOf } from '../../shared/model/text-elements.ts'

/** Errors: `infer.invalid_input`. */
export function elementsFromBytes(
  name: string,
  datatype: Datatype,
  bytes: Uint8Array,
  count: number,
): Result<TensorElements> {
  if (datatype === 'BYTES') {
    const strings = stringsOf(bytes, count)
    return 'found' in strings ? invalid(name, strings.expected, strings.found) : ok(strings)
  }
  const expected = count * DATATYPE_BYTES[datatype]
  if (bytes.length !== expected) {
    return invalid(name, `${expected} bytes, from its shape`, `${bytes.length}`)
  }
  if (datatype === 'BOOL') {
    const bad = bytes.findIndex((byte) => byte > 1)
    if (bad >= 0) return invalid(name, 'bytes 0 and 1', `${bytes[bad]} at element ${bad}`)
  }
  return ok(elementsOf(datatype, bytes))
}

export function bytesFromElements({ datatype, data }: TensorValue): Uint8Array {
  if (datatype !== 'BYTES') return bytesOf(data as NumericElements)
  return bytesOfStrings(data as readonly string[])
}

function invalid(name: string, expected: string, found: string): Result<never> {
  return refuse('infer.invalid_input', `The bytes of input "${name.slice(0, 256)}" do not fit.`, {
    expected,
    found,
  })
}
