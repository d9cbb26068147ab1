/**
 * Tensors by value, as they travel between the local API, the model host and the golden vectors.
 * Invariant: `data` holds as many elements as `shape` says, row-major, in the array type of its
 * datatype; FP16 is kept as bits, BOOL as bytes 0 and 1, BYTES as strings. Assumes a little-endian
 * machine, as every platform of ONNX Runtime is.
 */
import type { Datatype } from './tensor.ts'

export type NumericElements =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
export type TensorElements = NumericElements | readonly string[]

export interface TensorValue {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly data: TensorElements
}

type NumericDatatype = Exclude<Datatype, 'BYTES'>

interface ElementArray {
  readonly BYTES_PER_ELEMENT: number
  new (length: number): NumericElements
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): NumericElements
}

export const ELEMENT_ARRAYS: Readonly<Record<NumericDatatype, ElementArray>> = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
}

/** The elements in `bytes`: a view where the offset is aligned, else a copy. Length must divide. */
export function elementsOf(datatype: NumericDatatype, bytes: Uint8Array): NumericElements {
  const ElementArray = ELEMENT_ARRAYS[datatype]
  const size = ElementArray.BYTES_PER_ELEMENT
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes)
  return new ElementArray(aligned.buffer, aligned.byteOffset, bytes.byteLength / size)
}

/** The bytes of numeric elements, as a view. */
export function bytesOf(elements: NumericElements): Uint8Array {
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength)
}

/** Element `index` as a number: halves decoded, 64-bit integers rounded; NaN for a string. */
export function numberAt(tensor: TensorValue, index: number): number {
  const element = tensor.data[index]
  if (typeof element === 'number') return tensor.datatype === 'FP16' ? fromHalf(element) : element
  return typeof element === 'bigint' ? Number(element) : Number.NaN
}

/** IEEE 754 binary16 to a number. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** A number to IEEE 754 binary16, rounded to nearest, ties to even. */
export function toHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const size = Math.abs(value)
  // 65520 is halfway between the largest half and what would follow it.
  if (size >= 65_520) return sign | 0x7c00
  const exponent = Math.max(-14, Math.floor(Math.log2(size)))
  const steps = roundToEven((size === 0 ? 0 : size / 2 ** exponent) * 1024)
  // Steps of 1024 and more carry into the exponent by themselves; below, the number is subnormal.
  return steps < 1024 ? sign | steps : sign | (((exponent + 15) << 10) + (steps - 1024))
}

function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}
