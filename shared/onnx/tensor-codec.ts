/**
 * One TensorProto from and to bytes: the format of an initialiser, and of the `.pb` files that hold
 * golden inputs and outputs. Elements come out of `raw_data` or of the typed fields.
 * Invariant: a decoded tensor holds exactly as many elements as its shape says, so a file cannot
 * make us allocate more than it holds itself. Assumes a little-endian machine, as every platform
 * of ONNX Runtime is. External data is named, not read: that belongs to whoever has a file system.
 */
import type { BinaryReader } from '@bufbuild/protobuf/wire'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { assert } from '../kernel/assert.ts'
import { utf8 } from '../kernel/bytes.ts'
import type { Result } from '../kernel/result.ts'
import type { TensorElements } from '../model/tensor-value.ts'
import { type ElementType, elementTypeOf, elementTypeRow } from './data-type.ts'
import {
  decoding,
  malformed,
  onBytes,
  onInteger,
  onRepeated,
  onString,
  onVarints,
  readFields,
  safeInteger,
} from './wire-fields.ts'

export interface NamedTensor {
  readonly name: string
  readonly datatype: ElementType
  readonly shape: readonly number[]
  /** Elements in row-major order; types of less than a byte as their packed bytes. */
  readonly data: TensorElements
}

const RANK_MAX = 64
const ELEMENTS_MAX = 2 ** 31

/**
 * Decodes one TensorProto.
 * Errors: `onnx.not_a_tensor`, and `onnx.unsupported_tensor` for external data and complex types.
 */
export function decodeTensor(bytes: Uint8Array): Result<NamedTensor> {
  return decoding('onnx.not_a_tensor', 'Give a TensorProto file (.pb).', () => {
    const parts = readParts(bytes)
    const type = elementTypeOf(parts.typeCode)
    if (type === undefined) {
      malformed(`the data type ${parts.typeCode}`, 'one of onnx.proto', 'onnx.not_a_tensor')
    }
    if (parts.external || type === 'COMPLEX64' || type === 'COMPLEX128') {
      const found = parts.external ? 'external data' : `the data type ${type}`
      malformed(found, 'elements inside the file', 'onnx.unsupported_tensor')
    }
    return { name: parts.name, datatype: type, shape: parts.shape, data: elements(type, parts) }
  })
}

interface Parts {
  name: string
  typeCode: number
  external: boolean
  raw: Uint8Array | undefined
  readonly shape: number[]
  readonly numbers: number[]
  readonly integers: bigint[]
  readonly strings: string[]
}

/** Field numbers: onnx.proto, message TensorProto. */
function readParts(bytes: Uint8Array): Parts {
  const parts: Parts = {
    name: '',
    typeCode: 0,
    external: false,
    raw: undefined,
    shape: [],
    numbers: [],
    integers: [],
    strings: [],
  }
  const number = (read: (reader: BinaryReader) => number) => (reader: BinaryReader) =>
    void parts.numbers.push(read(reader))
  readFields(bytes, {
    1: onVarints((dim) => void parts.shape.push(safeInteger(dim))),
    2: onInteger((code) => {
      parts.typeCode = code
    }),
    4: onRepeated(
      WireType.Bit32,
      number((reader) => reader.float()),
    ),
    5: onRepeated(
      WireType.Varint,
      number((reader) => reader.int32()),
    ),
    6: onString((text) => void parts.strings.push(text)),
    7: onVarints((value) => void parts.integers.push(value)),
    8: onString((name) => {
      parts.name = name
    }),
    9: onBytes((raw) => {
      parts.raw = raw
    }),
    10: onRepeated(
      WireType.Bit64,
      number((reader) => reader.double()),
    ),
    11: onVarints((value) => void parts.integers.push(value)),
    14: onInteger((location) => {
      parts.external = location === 1
    }),
  })
  return parts
}

function elements(type: ElementType, parts: Parts): TensorElements {
  const count = elementCount(parts.shape)
  const { bits, field } = elementTypeRow(type)
  if (field === 'string') return expectCount(parts.strings, count)
  const bytesNeeded = Math.ceil((count * bits) / 8)
  if (parts.raw !== undefined) {
    expectLength(parts.raw.length, bytesNeeded, 'B of raw data')
    return viewAs(type, new Uint8Array(parts.raw))
  }
  if (field === 'int64' || field === 'uint64') {
    const wide = expectCount(parts.integers, count)
    if (type === 'INT64') return BigInt64Array.from(wide)
    return type === 'UINT64'
      ? BigUint64Array.from(wide.map((value) => BigInt.asUintN(64, value)))
      : Uint32Array.from(wide, Number)
  }
  // Types of less than a byte fill the bytes of int32_data as they fill raw_data.
  const numbers = expectCount(parts.numbers, bits < 8 ? bytesNeeded : count)
  const target = viewAs(type, new Uint8Array(bytesNeeded))
  for (let i = 0; i < numbers.length; i++) (target as Float32Array)[i] = numbers[i]!
  return target
}

function expectCount<T>(values: readonly T[], count: number): readonly T[] {
  expectLength(values.length, count, 'elements')
  return values
}

function expectLength(found: number, expected: number, unit: string): void {
  if (found === expected) return
  malformed(`${found} ${unit}`, `${expected} ${unit}, from its shape`, 'onnx.not_a_tensor')
}

function elementCount(shape: readonly number[]): number {
  if (shape.length > RANK_MAX || shape.some((dim) => dim < 0)) {
    malformed(`the shape [${shape.slice(0, 8)}]`, 'sizes of at least 0', 'onnx.not_a_tensor')
  }
  const count = shape.reduce((product, dim) => product * dim, 1)
  if (count > ELEMENTS_MAX) {
    malformed(`${count} elements`, `at most ${ELEMENTS_MAX}`, 'onnx.not_a_tensor')
  }
  return count
}

/** `bytes` must own its buffer, so that it starts aligned. */
function viewAs(type: ElementType, bytes: Uint8Array): Exclude<TensorElements, readonly string[]> {
  const { buffer } = bytes
  switch (type) {
    case 'FP32':
      return new Float32Array(buffer)
    case 'FP64':
      return new Float64Array(buffer)
    case 'INT8':
      return new Int8Array(buffer)
    case 'INT16':
      return new Int16Array(buffer)
    case 'INT32':
      return new Int32Array(buffer)
    case 'INT64':
      return new BigInt64Array(buffer)
    case 'UINT64':
      return new BigUint64Array(buffer)
    case 'UINT32':
      return new Uint32Array(buffer)
    case 'UINT16':
    case 'FP16':
    case 'BF16':
      return new Uint16Array(buffer)
    default:
      return bytes
  }
}

/** Encodes with `raw_data` (strings with `string_data`); the shape must fit the data. */
export function encodeTensor(tensor: NamedTensor): Uint8Array<ArrayBuffer> {
  const { code, bits } = elementTypeRow(tensor.datatype)
  const count = tensor.shape.reduce((product, dim) => product * dim, 1)
  const writer = new BinaryWriter()
  writer.tag(1, WireType.LengthDelimited).fork()
  for (const dim of tensor.shape) writer.int64(dim)
  writer.join()
  writer.tag(2, WireType.Varint).int32(code)
  writer.tag(8, WireType.LengthDelimited).string(tensor.name)
  if (ArrayBuffer.isView(tensor.data)) {
    const { buffer, byteOffset, byteLength } = tensor.data
    assert(byteLength === Math.ceil((count * bits) / 8), `${tensor.name}: data fits its shape`)
    writer.tag(9, WireType.LengthDelimited).bytes(new Uint8Array(buffer, byteOffset, byteLength))
  } else {
    assert(tensor.data.length === count, `${tensor.name}: data fits its shape`)
    for (const text of tensor.data) writer.tag(6, WireType.LengthDelimited).bytes(utf8(text))
  }
  return writer.finish()
}
