/**
 * Tensor data in JSON: an array in row-major order, flat or nested as its shape says (Open Inference
 * Protocol v2, "Tensor Data"). Strict where JavaScript is lenient: an integer out of range, a fraction
 * for an integer type, a string for a number, a finite number that its type cannot hold are refused,
 * with the position.
 * What JSON cannot write travels as text, as in ProtoJSON: 64-bit integers that are not safe as
 * decimal strings, and "NaN", "Infinity", "-Infinity". Source: protobuf.dev, "ProtoJSON Format".
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Datatype } from '../../shared/model/tensor.ts'
import {
  ELEMENT_ARRAYS,
  fromHalf,
  type NumericElements,
  type TensorElements,
  type TensorValue,
  toHalf,
} from '../../shared/model/tensor-value.ts'

const INTEGER_RANGES: Partial<Record<Datatype, readonly [least: number, greatest: number]>> = {
  UINT8: [0, 2 ** 8 - 1],
  UINT16: [0, 2 ** 16 - 1],
  UINT32: [0, 2 ** 32 - 1],
  INT8: [-(2 ** 7), 2 ** 7 - 1],
  INT16: [-(2 ** 15), 2 ** 15 - 1],
  INT32: [-(2 ** 31), 2 ** 31 - 1],
}
const WIDE_RANGES: Partial<Record<Datatype, readonly [least: bigint, greatest: bigint]>> = {
  UINT64: [0n, 2n ** 64n - 1n],
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
}

/** @param shape checked before: sizes of one tensor. Errors: `infer.invalid_input`. */
export function elementsFromJson(
  name: string,
  datatype: Datatype,
  data: unknown,
  shape: readonly number[],
): Result<TensorElements> {
  if (!Array.isArray(data)) return invalid(name, 'an array', typeof data)
  const flat = flattened(data, shape)
  if (flat === undefined) {
    return invalid(name, `arrays nested as its shape [${shape.join(',')}]`, 'others')
  }
  const count = shape.reduce((product, size) => product * size, 1)
  if (flat.length !== count) {
    return invalid(name, `${count} elements, from its shape`, `${flat.length}`)
  }
  if (datatype === 'BYTES') {
    const bad = flat.findIndex((value) => typeof value !== 'string')
    return bad < 0
      ? ok(flat as readonly string[])
      : invalid(name, 'strings', describe(flat[bad], bad))
  }
  const elements = new ELEMENT_ARRAYS[datatype](count)
  const bad = fill(elements, datatype, flat)
  return bad < 0 ? ok(elements) : invalid(name, `values of ${datatype}`, describe(flat[bad], bad))
}

/** Undefined where rows are not of the lengths that the shape says; stops at the first of them. */
function flattened(
  data: readonly unknown[],
  shape: readonly number[],
): readonly unknown[] | undefined {
  if (!Array.isArray(data[0])) return data
  let rows = data
  if (rows.length !== shape[0]) return undefined
  for (const size of shape.slice(1)) {
    const fits = (row: unknown): boolean => Array.isArray(row) && row.length === size
    if (!rows.every(fits)) return undefined
    rows = rows.flat()
  }
  return rows
}

/** @returns the position of the first value that does not fit, or -1. */
function fill(elements: NumericElements, datatype: Datatype, flat: readonly unknown[]): number {
  if (datatype === 'FP32' || datatype === 'FP64') {
    const floats = elements as Float64Array
    for (let i = 0; i < flat.length; i++) {
      const value = asFloat(flat[i])
      if (value === undefined) return i
      floats[i] = value
      if (!Number.isFinite(floats[i]) && Number.isFinite(value)) return i
    }
    return -1
  }
  const wide = WIDE_RANGES[datatype]
  if (wide !== undefined) return fillWide(elements as BigInt64Array, wide, flat)
  const range = INTEGER_RANGES[datatype]
  const numbers = elements as Uint8Array
  for (let i = 0; i < flat.length; i++) {
    const value = simple(datatype, flat[i])
    if (typeof value !== 'number') return i
    if (range !== undefined && !(Number.isInteger(value) && inRange(value, range))) return i
    numbers[i] = datatype === 'FP16' ? toHalf(value) : value
    if (datatype === 'FP16' && isOverflow(numbers[i]!, value)) return i
  }
  return -1
}

function fillWide(
  elements: BigInt64Array,
  [least, greatest]: readonly [bigint, bigint],
  flat: readonly unknown[],
): number {
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i]
    const readable =
      typeof value === 'number'
        ? Number.isSafeInteger(value)
        : typeof value === 'bigint' || (typeof value === 'string' && /^-?\d{1,20}$/.test(value))
    if (!readable) return i
    const integer = BigInt(value as number | bigint | string)
    if (integer < least || integer > greatest) return i
    elements[i] = integer
  }
  return -1
}

/** A half float is infinite where all bits of its exponent stand and none of its fraction. */
const isOverflow = (half: number, value: number): boolean =>
  (half & 0x7fff) === 0x7c00 && Number.isFinite(value)

const inRange = (value: number, [least, greatest]: readonly [number, number]): boolean =>
  value >= least && value <= greatest

const NOT_FINITE = new Map<unknown, number>([
  ['NaN', Number.NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
])

/** An integer over 2^53 comes as text (exact-integers.ts); a float is as near as it may be. */
const WIDE = /^-?\d{16,309}$/

function asFloat(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  return typeof value === 'string' && WIDE.test(value) ? Number(value) : NOT_FINITE.get(value)
}

function simple(datatype: Datatype, value: unknown): unknown {
  if (datatype === 'BOOL') return asBool(value)
  return datatype === 'FP16' ? asFloat(value) : value
}

function asBool(value: unknown): unknown {
  if (typeof value === 'boolean') return value ? 1 : 0
  return value === 0 || value === 1 ? value : undefined
}

function describe(value: unknown, position: number): string {
  const text = typeof value === 'bigint' ? String(value) : JSON.stringify(value)
  return `${text?.slice(0, 40)} at element ${position}`
}

function invalid(name: string, expected: string, found: string): Result<never> {
  return refuse('infer.invalid_input', `The data of input "${name.slice(0, 256)}" do not fit.`, {
    expected,
    found,
  })
}

/** What `elementsFromJson` reads as the same elements. */
export function jsonFromElements({ datatype, data }: TensorValue): readonly unknown[] {
  switch (datatype) {
    case 'BYTES':
      return data as readonly string[]
    case 'BOOL':
      return Array.from(data as Uint8Array, (value) => value !== 0)
    case 'INT64':
    case 'UINT64':
      return Array.from(data as BigInt64Array, jsonInteger)
    case 'FP16':
      return jsonFloats(Array.from(data as Uint16Array, fromHalf))
    case 'FP32':
    case 'FP64':
      return jsonFloats(data as Float32Array)
    default:
      return Array.from(data as Int32Array)
  }
}

function jsonInteger(value: bigint): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}

/** One pass: an iterator over a typed array takes several times as long. */
function jsonFloats(values: ArrayLike<number>): (number | string)[] {
  const plain = new Array<number | string>(values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    plain[i] = Number.isFinite(value) ? value : String(value)
  }
  return plain
}
