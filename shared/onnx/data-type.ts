/**
 * The element types of ONNX tensors (TensorProto.DataType of onnx.proto) and their names in the Open
 * Inference Protocol v2. Types which that protocol lacks are named honestly (FP8, INT4, ...), so
 * that admission can refuse them by name; whether a device can serve a type is not decided here.
 */

/** Which repeated field of TensorProto holds the elements when `raw_data` is absent. */
type TypedField = 'float' | 'int32' | 'string' | 'int64' | 'double' | 'uint64'

interface TypeRow {
  readonly code: number
  /** Bits an element takes in `raw_data`; 0 for strings, which have no raw form. */
  readonly bits: number
  readonly field: TypedField
}

/** Codes: onnx.proto, enum TensorProto.DataType; fields: its comments on the typed data. */
const TYPES = {
  FP32: { code: 1, bits: 32, field: 'float' },
  UINT8: { code: 2, bits: 8, field: 'int32' },
  INT8: { code: 3, bits: 8, field: 'int32' },
  UINT16: { code: 4, bits: 16, field: 'int32' },
  INT16: { code: 5, bits: 16, field: 'int32' },
  INT32: { code: 6, bits: 32, field: 'int32' },
  INT64: { code: 7, bits: 64, field: 'int64' },
  BYTES: { code: 8, bits: 0, field: 'string' },
  BOOL: { code: 9, bits: 8, field: 'int32' },
  FP16: { code: 10, bits: 16, field: 'int32' },
  FP64: { code: 11, bits: 64, field: 'double' },
  UINT32: { code: 12, bits: 32, field: 'uint64' },
  UINT64: { code: 13, bits: 64, field: 'uint64' },
  COMPLEX64: { code: 14, bits: 64, field: 'float' },
  COMPLEX128: { code: 15, bits: 128, field: 'double' },
  BF16: { code: 16, bits: 16, field: 'int32' },
  FP8_E4M3FN: { code: 17, bits: 8, field: 'int32' },
  FP8_E4M3FNUZ: { code: 18, bits: 8, field: 'int32' },
  FP8_E5M2: { code: 19, bits: 8, field: 'int32' },
  FP8_E5M2FNUZ: { code: 20, bits: 8, field: 'int32' },
  UINT4: { code: 21, bits: 4, field: 'int32' },
  INT4: { code: 22, bits: 4, field: 'int32' },
  FP4_E2M1: { code: 23, bits: 4, field: 'int32' },
  FP8_E8M0: { code: 24, bits: 8, field: 'int32' },
  UINT2: { code: 25, bits: 2, field: 'int32' },
  INT2: { code: 26, bits: 2, field: 'int32' },
} as const satisfies Record<string, TypeRow>

/** The type of a tensor's elements. */
export type ElementType = keyof typeof TYPES

const byCode = new Map<number, ElementType>(
  (Object.keys(TYPES) as ElementType[]).map((name) => [TYPES[name].code, name]),
)

export function elementTypeRow(type: ElementType): TypeRow {
  return TYPES[type]
}

/** @returns undefined for a code that onnx.proto does not define (0 is its UNDEFINED). */
export function elementTypeOf(code: number): ElementType | undefined {
  return byCode.get(code)
}
