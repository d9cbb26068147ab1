/**
 * `InferTensorContents` of the Open Inference Protocol v2 over gRPC: the elements of a tensor as typed
 * values, where they do not travel as raw bytes. A message of bytes becomes many times its size in
 * values, so no more of them are made than the shape asks for, and of one request never more than
 * `VALUES_MAX`; what is larger travels as raw contents. Invariant: the work done is bounded by these
 * numbers, not by the size of the message.
 */
import { WireType } from '@bufbuild/protobuf/wire'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { ProblemError } from '../../shared/kernel/result.ts'
import type { Datatype } from '../../shared/model/tensor.ts'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import {
  type FieldReader,
  type FieldTable,
  onBytes,
  onRepeated,
  readFields,
} from '../../shared/onnx/wire-fields.ts'

/** Of all tensors of a request; a second of work at most, on a usual device less. */
const VALUES_MAX = 2 ** 22

/** What is left of `VALUES_MAX` for the tensors that follow. */
export interface ValueBudget {
  left: number
}

export const createValueBudget = (): ValueBudget => ({ left: VALUES_MAX })

/** Which field of `InferTensorContents` carries a datatype; half floats travel as single ones. */
const FIELD_OF: Readonly<Record<Datatype, number>> = {
  BOOL: 1,
  ...{ INT8: 2, INT16: 2, INT32: 2, INT64: 3 },
  ...{ UINT8: 4, UINT16: 4, UINT32: 4, UINT64: 5 },
  ...{ FP16: 6, FP32: 6, FP64: 7, BYTES: 8 },
}

const FIELD_NAMES = [
  ...['', 'bool_contents', 'int_contents', 'int64_contents', 'uint_contents', 'uint64_contents'],
  ...['fp32_contents', 'fp64_contents', 'bytes_contents'],
]

/**
 * The values in the field of this datatype; one in another is refused.
 * @param count the elements that the shape asks for; reading stops behind it.
 * Errors (thrown): `infer.invalid_input`, `request.too_large`, `request.malformed`.
 */
export function readContents(
  { name, datatype }: Pick<TensorValue, 'name' | 'datatype'>,
  parts: readonly Uint8Array[],
  count: number,
  budget: ValueBudget,
): unknown[] {
  const values: unknown[] = []
  const spend = (): void => {
    if (budget.left <= 0) throw notRaw(name)
    budget.left -= 1
  }
  const table = contentsInto((value) => {
    if (values.length >= count) throw tooMany(name, count)
    spend()
    values.push(value)
  })
  // A field without a value takes as long as one with it.
  const paid = Object.entries(table).map(([field, read]): [string, FieldReader] => [
    field,
    (reader, wireType) => {
      if (Number(field) !== FIELD_OF[datatype]) throw wrongField(name, datatype, Number(field))
      const before = values.length
      read(reader, wireType)
      if (values.length === before) spend()
    },
  ])
  for (const part of parts) readFields(part, Object.fromEntries(paid))
  return values
}

function contentsInto(keep: (value: unknown) => void): FieldTable {
  const wide = (value: bigint | string): void => {
    const number = Number(value)
    keep(Number.isSafeInteger(number) ? number : BigInt(value))
  }
  const varints = (read: Parameters<typeof onRepeated>[1]): FieldReader =>
    onRepeated(WireType.Varint, read)
  return {
    1: varints((reader) => keep(reader.bool())),
    2: varints((reader) => keep(reader.int32())),
    3: varints((reader) => wide(reader.int64())),
    4: varints((reader) => keep(reader.uint32())),
    5: varints((reader) => wide(reader.uint64())),
    6: onRepeated(WireType.Bit32, (reader) => keep(reader.float())),
    7: onRepeated(WireType.Bit64, (reader) => keep(reader.double())),
    8: onBytes((bytes) => keep(fromUtf8(bytes))),
  }
}

function wrongField(name: string, datatype: Datatype, field: number): ProblemError {
  return new ProblemError({
    code: 'infer.invalid_input',
    message: `The data of input "${name.slice(0, 256)}" do not fit.`,
    expected: `${FIELD_NAMES[FIELD_OF[datatype]]} for ${datatype}`,
    found: FIELD_NAMES[field] ?? '',
  })
}

function tooMany(name: string, count: number): ProblemError {
  return new ProblemError({
    code: 'infer.invalid_input',
    message: `The data of input "${name.slice(0, 256)}" do not fit.`,
    expected: `${count} elements, from its shape`,
    found: 'more',
  })
}

function notRaw(name: string): ProblemError {
  return new ProblemError({
    code: 'request.too_large',
    message: `There are too many elements in the contents of input "${name.slice(0, 256)}".`,
    expected: `at most ${VALUES_MAX} of all inputs`,
    next: 'send the tensors as raw_input_contents',
  })
}
