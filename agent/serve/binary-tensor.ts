/**
 * Tensor data as bytes: the binary tensor data extension of the Open Inference Protocol v2. Elements
 * are little-endian and row-major; BYTES elements carry a 4-byte length each. Numeric inputs are
 * views into the request's body, not copies, where the offset is aligned.
 */
import { concatBytes, fromUtf8, utf8 } from '../../shared/kernel/bytes.ts'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { DATATYPE_BYTES, type Datatype } from '../../shared/model/tensor.ts'
import {
  bytesOf,
  elementsOf,
  type NumericElements,
  type TensorElements,
  type TensorValue,
} from '../../shared/model/tensor-value.ts'

/** Errors: `infer.invalid_input`. */
export function elementsFromBytes(
  name: string,
  datatype: Datatype,
  bytes: Uint8Array,
  count: number,
): Result<TensorElements> {
  if (datatype === 'BYTES') return stringsFromBytes(name, bytes, count)
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

function stringsFromBytes(name: string, bytes: Uint8Array, count: number): Result<string[]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const strings: string[] = []
  let at = 0
  while (at < bytes.length && strings.length < count) {
    if (at + 4 > bytes.length) return invalid(name, 'a length of 4 bytes', 'fewer')
    const length = view.getUint32(at, true)
    at += 4
    const text = at + length <= bytes.length ? fromUtf8(bytes.subarray(at, at + length)) : undefined
    if (text === undefined) {
      return invalid(name, 'whole strings in UTF-8', `element ${strings.length} of ${length} bytes`)
    }
    strings.push(text)
    at += length
  }
  if (strings.length === count && at === bytes.length) return ok(strings)
  return invalid(name, `${count} strings`, `${strings.length} in ${at} of ${bytes.length} bytes`)
}

export function bytesFromElements({ datatype, data }: TensorValue): Uint8Array {
  if (datatype !== 'BYTES') return bytesOf(data as NumericElements)
  const parts = (data as readonly string[]).flatMap((text) => {
    const bytes = utf8(text)
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, bytes.length, true)
    return [length, bytes]
  })
  return concatBytes(...parts)
}

function invalid(name: string, expected: string, found: string): Result<never> {
  return refuse('infer.invalid_input', `The bytes of input "${name.slice(0, 256)}" do not fit.`, {
    expected,
    found,
  })
}
