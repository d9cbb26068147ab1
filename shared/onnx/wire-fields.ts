/**
 * Walking protobuf messages without a schema compiler and without copying: a message is a view into
 * the file, a table maps field numbers to readers, and every other field is skipped.
 * Invariant: work is linear in the bytes of the message, since each step moves the reader forward.
 * The library's reader throws on malformed bytes; `decoding` is the one place that turns it into a
 * `Problem`.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { ProblemError, type Result, toProblem } from '../kernel/result.ts'

/** Reads the value of one field; the reader stands behind its tag. */
export type FieldReader = (reader: BinaryReader, wireType: WireType) => void
export type FieldTable = Readonly<Record<number, FieldReader>>

/** Reads the fields of one message. */
export type MessageReader = (message: Uint8Array, table: FieldTable) => void

/** @param fieldsMax known or not; past it the message is malformed. */
export function readFields(message: Uint8Array, table: FieldTable, fieldsMax = Infinity): void {
  walk(message, table, createSpend(fieldsMax, 'onnx.not_a_model'))
}

/** In fields that are skipped, by the time that it takes. */
const MESSAGE_COST = 16

/**
 * One budget for all messages that are read with it, a message and those in it: a field that is
 * skipped takes its time too, and two bytes are enough for one. A message counts as `MESSAGE_COST`.
 * @param code of the refusal past it.
 */
export function readAtMost(fieldsMax: number, code: string): MessageReader {
  const spend = createSpend(fieldsMax, code)
  return (message, table) => {
    spend(MESSAGE_COST)
    walk(message, table, spend)
  }
}

function createSpend(fieldsMax: number, code: string): (fields: number) => void {
  let left = fieldsMax
  return (fields) => {
    left -= fields
    if (left < 0) malformed(`more than ${fieldsMax} fields`, `at most ${fieldsMax} fields`, code)
  }
}

function walk(message: Uint8Array, table: FieldTable, spend: (fields: number) => void): void {
  const reader = new BinaryReader(message)
  while (reader.pos < reader.len) {
    spend(1)
    const [field, wireType] = reader.tag()
    const read = table[field]
    if (read === undefined) skip(reader, message, wireType)
    else read(reader, wireType)
    if (reader.pos > reader.len) malformed(`a field that ends ${reader.pos - reader.len} B too far`)
  }
}

/**
 * The library's own takes several times as long, since it makes a view of what it skips, and would
 * skip a group without counting what is in it. No message read here has groups; throws at one.
 */
function skip(reader: BinaryReader, message: Uint8Array, wireType: WireType): void {
  switch (wireType) {
    case WireType.Varint:
      while (message[reader.pos++]! & 0x80);
      break
    case WireType.Bit32:
      reader.pos += 4
      break
    case WireType.Bit64:
      reader.pos += 8
      break
    case WireType.LengthDelimited: {
      const length = reader.uint32()
      reader.pos += length
      break
    }
    default:
      throw new Error(`a field of wire type ${wireType}`)
  }
}

/** A nested message or bytes, as a view. */
export function onBytes(visit: (bytes: Uint8Array) => void): FieldReader {
  return (reader, wireType) => {
    expectWire(wireType, WireType.LengthDelimited)
    visit(reader.bytes())
  }
}

/** A string of at most `bytesMax` bytes of valid UTF-8. */
export function onString(visit: (text: string) => void, bytesMax = 65_536): FieldReader {
  return (reader, wireType) => {
    expectWire(wireType, WireType.LengthDelimited)
    const start = reader.pos
    const length = reader.uint32()
    if (length > bytesMax) malformed(`a name of ${length} B`, `at most ${bytesMax} B`)
    reader.pos = start
    visit(reader.string(true))
  }
}

/** An int64, enum or bool field that must be a safe integer. */
export function onInteger(visit: (value: number) => void): FieldReader {
  return (reader, wireType) => {
    expectWire(wireType, WireType.Varint)
    visit(safeInteger(reader.int64()))
  }
}

/** An int64 or uint64 field of any size. */
export function onWide(kind: 'int64' | 'uint64', visit: (value: bigint) => void): FieldReader {
  return (reader, wireType) => {
    expectWire(wireType, WireType.Varint)
    visit(BigInt(reader[kind]()))
  }
}

/** A repeated varint field: packed (proto3) and one by one (proto2) are both legal. */
export function onVarints(visit: (value: bigint) => void): FieldReader {
  return onRepeated(WireType.Varint, (reader) => visit(BigInt(reader.int64())))
}

export function onRepeated(
  element: WireType,
  readOne: (reader: BinaryReader) => void,
): FieldReader {
  return (reader, wireType) => {
    if (wireType !== WireType.LengthDelimited) {
      expectWire(wireType, element)
      readOne(reader)
      return
    }
    const packed = new BinaryReader(reader.bytes())
    while (packed.pos < packed.len) readOne(packed)
  }
}

/** Runs a decoder; whatever it throws becomes a refusal, by default with `code`. */
export function decoding<T>(code: string, next: string, decode: () => T): Result<T> {
  try {
    return { ok: true, value: decode() }
  } catch (cause) {
    const problem = toProblem(cause, code)
    if (cause instanceof ProblemError) return { ok: false, error: { next, ...problem } }
    const found = `malformed protobuf (${problem.message})`
    return { ok: false, error: { code, message: 'This is not an ONNX file.', found, next } }
  }
}

/** Leaves the decoder with a refusal; only `decoding` catches it. */
export function malformed(found: string, expected?: string, code = 'onnx.not_a_model'): never {
  const message =
    code === 'onnx.not_a_model'
      ? 'This is not an ONNX file.'
      : 'This ONNX file goes past what Linnet reads.'
  throw new ProblemError({ code, message, found, ...(expected === undefined ? {} : { expected }) })
}

export function safeInteger(value: bigint | string): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number)) malformed(`the integer ${value}`, 'an integer below 2^53')
  return number
}

function expectWire(found: WireType, expected: WireType): void {
  if (found !== expected) malformed(`wire type ${found}`, `wire type ${expected}`)
}
