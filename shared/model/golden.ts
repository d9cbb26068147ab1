/**
 * Golden vectors: inputs with the outputs that a release must reproduce on every device before it
 * serves. One binary file: uint32 little-endian header length, a JSON header, then the tensors'
 * little-endian bytes in header order; text as stringsOf has it. The decoder trusts nothing: every
 * count and length is checked.
 */
import { z } from 'zod'
import { concatBytes, fromUtf8, utf8 } from '../kernel/bytes.ts'
import { ok, type Result, refuse } from '../kernel/result.ts'
import {
  DATATYPE_BYTES,
  type Datatype,
  datatypeSchema,
  elementCount,
  tensorNameSchema,
} from './tensor.ts'
import { stringsOf } from './text-elements.ts'

/** A tensor by value; `data` holds little-endian elements, row-major, or strings (BYTES). */
export interface GoldenTensor {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

export interface GoldenVector {
  readonly inputs: readonly GoldenTensor[]
  readonly outputs: readonly GoldenTensor[]
}

const HEADER_BYTES_MAX = 4_194_304
export const GOLDEN_BYTES_MAX = 268_435_456

const tensorHeaderSchema = z.strictObject({
  name: tensorNameSchema,
  datatype: datatypeSchema,
  shape: z
    .array(
      z
        .int()
        .min(0)
        .max(2 ** 31),
    )
    .max(16),
  /** Of text alone, whose elements have no fixed length. */
  bytes: z.int().min(0).max(GOLDEN_BYTES_MAX).exactOptional(),
})
const headerSchema = z.strictObject({
  schema: z.literal('linnet.golden.v1'),
  vectors: z
    .array(
      z.strictObject({
        inputs: z.array(tensorHeaderSchema).max(256),
        outputs: z.array(tensorHeaderSchema).max(256),
      }),
    )
    .max(64),
})

function tensorBytes({ datatype, shape, bytes }: z.infer<typeof tensorHeaderSchema>): number {
  return datatype === 'BYTES' ? (bytes ?? 0) : elementCount(shape) * DATATYPE_BYTES[datatype]
}

export function encodeGolden(vectors: readonly GoldenVector[]): Uint8Array {
  const describe = ({ name, datatype, shape, data }: GoldenTensor) => ({
    ...{ name, datatype, shape },
    ...(datatype === 'BYTES' ? { bytes: data.length } : {}),
  })
  const header = utf8(
    JSON.stringify({
      schema: 'linnet.golden.v1',
      vectors: vectors.map((vector) => ({
        inputs: vector.inputs.map(describe),
        outputs: vector.outputs.map(describe),
      })),
    }),
  )
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, header.length, true)
  const tensors = vectors.flatMap((vector) => [...vector.inputs, ...vector.outputs])
  return concatBytes(length, header, ...tensors.map((tensor) => tensor.data))
}

const isBroken = ({ datatype, shape, data }: GoldenTensor): boolean =>
  datatype === 'BYTES' && 'found' in stringsOf(data, elementCount(shape))

/**
 * @param mayBeEmpty only for a model that nobody signed and no input is known for.
 * Errors: `golden.malformed`. Tensor data are views into `bytes`, not copies.
 */
export function decodeGolden(bytes: Uint8Array, mayBeEmpty = false): Result<GoldenVector[]> {
  const malformed = (found: string) =>
    refuse('golden.malformed', 'The golden vectors cannot be read.', {
      expected: 'a linnet.golden.v1 file',
      found,
      next: 'create the release again',
    })
  if (bytes.length < 4) return malformed(`${bytes.length} bytes`)
  const headerLength = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
  if (headerLength > Math.min(HEADER_BYTES_MAX, bytes.length - 4)) {
    return malformed(`a header of ${headerLength} bytes`)
  }
  let json: unknown
  try {
    json = JSON.parse(fromUtf8(bytes.subarray(4, 4 + headerLength)) ?? '')
  } catch {
    return malformed('a header that is not JSON')
  }
  const header = headerSchema.safeParse(json)
  if (!header.success) return malformed(z.prettifyError(header.error).slice(0, 300))
  if (header.data.vectors.length === 0 && !mayBeEmpty) return malformed('no vector')
  let offset = 4 + headerLength
  const total = header.data.vectors
    .flatMap((vector) => [...vector.inputs, ...vector.outputs])
    .reduce((sum, tensor) => sum + tensorBytes(tensor), offset)
  if (total !== bytes.length) return malformed(`${bytes.length} bytes where ${total} are declared`)
  const take = (tensor: z.infer<typeof tensorHeaderSchema>): GoldenTensor => {
    const data = bytes.subarray(offset, offset + tensorBytes(tensor))
    offset += data.length
    return { ...tensor, data }
  }
  const vectors = header.data.vectors.map((vector) => ({
    inputs: vector.inputs.map(take),
    outputs: vector.outputs.map(take),
  }))
  const broken = vectors.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]).find(isBroken)
  return broken === undefined ? ok(vectors) : malformed(`${broken.name}: not its strings`)
}
