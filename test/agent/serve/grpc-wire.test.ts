/**
 * The gRPC messages, byte by byte: requests are written and answers read by the wire format itself
 * (fixtures/wire-bytes.ts), with the field numbers of the Open Inference Protocol v2 and of Triton's
 * `grpc_service.proto`, so that a wrong number in our own tables cannot hide behind itself.
 */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { callMethod } from '../../../agent/serve/grpc-calls.ts'
import { decodeGrpcInfer } from '../../../agent/serve/grpc-request.ts'
import { CLOSED_REPOSITORY } from '../../../agent/serve/model-repository.ts'
import type { Datatype, TensorSpec } from '../../../shared/model/tensor.ts'
import { delimited, fieldsIn, integer, joined, valueAt, varint } from '../../fixtures/wire-bytes.ts'
import { type BuiltPlane, buildLive, buildPlane } from '../runtime/plane-builder.ts'

let plane: BuiltPlane
beforeAll(() => {
  plane = buildPlane()
})
afterAll(() => plane.swap(new Map()))

function serve(datatype: Datatype): void {
  const spec = (name: string): TensorSpec => ({ name, datatype, shape: [2] })
  plane.put(
    buildLive((inputs) => inputs.map((input) => ({ ...input, name: 'y' })), {
      ...{ inputs: [spec('x')], outputs: [spec('y')], manifest: { classes: null } },
    }),
  )
}

const target = () => ({ plane, repository: CLOSED_REPOSITORY })
async function called(method: string, message: Uint8Array): Promise<Uint8Array> {
  const call = { message, deadlineMs: undefined, arrivedAtMs: plane.nowMs(), token: undefined }
  const path = `/inference.GRPCInferenceService/${method}`
  const answer = await callMethod(target(), path, { ...call, isGone: () => false })
  if (!answer.ok) throw new Error(answer.error.code)
  return answer.value
}

/** `InferInputTensor` x [2], its data in the request or in `contents`. */
const input = (datatype: Datatype, contents?: Uint8Array) =>
  delimited(
    5,
    joined(
      delimited(1, 'x'),
      delimited(2, datatype),
      delimited(3, varint(2)),
      ...(contents === undefined ? [] : [delimited(5, contents)]),
    ),
  )
const textAt = (message: Uint8Array, ...path: number[]): string =>
  new TextDecoder().decode(valueAt(message, ...path) as Uint8Array | undefined)

const packed = (field: number, ...values: (bigint | number)[]) =>
  delimited(field, joined(...values.map(varint)))
const raw = (array: ArrayLike<unknown> & ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
const strings = (...texts: string[]) =>
  joined(
    ...texts.map((text) => {
      const bytes = new TextEncoder().encode(text)
      return joined(raw(Uint32Array.of(bytes.length)), bytes)
    }),
  )

/** Both elements as raw little-endian bytes, and in their field of `InferTensorContents`. */
const TYPES: readonly [Datatype, raw: Uint8Array, contents: Uint8Array][] = [
  ['BOOL', Uint8Array.of(1, 0), packed(1, 1, 0)],
  ['INT8', raw(Int8Array.of(-128, 127)), packed(2, -128, 127)],
  ['INT16', raw(Int16Array.of(-32_768, 3)), packed(2, -32_768, 3)],
  ['INT32', raw(Int32Array.of(-(2 ** 31), 2)), packed(2, -(2 ** 31), 2)],
  [
    'INT64',
    raw(BigInt64Array.of(-(2n ** 63n), 2n ** 53n + 1n)),
    packed(3, -(2n ** 63n), 2n ** 53n + 1n),
  ],
  ['UINT8', Uint8Array.of(0, 255), packed(4, 0, 255)],
  ['UINT16', raw(Uint16Array.of(1, 65_535)), packed(4, 1, 65_535)],
  ['UINT32', raw(Uint32Array.of(1, 2 ** 32 - 1)), packed(4, 1, 2 ** 32 - 1)],
  ['UINT64', raw(BigUint64Array.of(7n, 2n ** 64n - 1n)), packed(5, 7, 2n ** 64n - 1n)],
  // A half float has no field of its own: its value stands among the single ones.
  ['FP16', Uint8Array.of(0, 0x3e, 0, 0xc0), delimited(6, raw(Float32Array.of(1.5, -2)))],
  ['FP32', raw(Float32Array.of(1.5, -2)), delimited(6, raw(Float32Array.of(1.5, -2)))],
  ['FP64', raw(Float64Array.of(1.5, -1e300)), delimited(7, raw(Float64Array.of(1.5, -1e300)))],
  ['BYTES', strings('ab', 'ü'), joined(delimited(8, 'ab'), delimited(8, 'ü'))],
]

describe.each(TYPES)('A tensor of %s over gRPC', (datatype, rawBytes, contents) => {
  it('goes in raw or as contents, and comes back raw, in the published fields', async () => {
    serve(datatype)
    const head = joined(delimited(1, 'tiny'), delimited(2, '1'), delimited(3, 'r-1'))
    for (const request of [
      joined(head, input(datatype), delimited(7, rawBytes)),
      joined(head, input(datatype, contents)),
    ]) {
      const answer = await called('ModelInfer', request)
      expect([1, 2, 3].map((field) => textAt(answer, field))).toEqual(['tiny', '1.0.0', 'r-1'])
      expect([textAt(answer, 5, 1), textAt(answer, 5, 2)]).toEqual(['y', datatype])
      expect(valueAt(answer, 5, 3)).toEqual(Uint8Array.of(2))
      expect([...(valueAt(answer, 6) as Uint8Array)]).toEqual([...rawBytes])
      expect(fieldsIn(answer).get(6)).toHaveLength(1)
    }
  })

  it('is described by its name, and by its number in the configuration', async () => {
    serve(datatype)
    const named = joined(delimited(1, 'tiny'), delimited(2, '1'))
    const metadata = await called('ModelMetadata', named)
    expect([textAt(metadata, 4, 2), textAt(metadata, 5, 2)]).toEqual([datatype, datatype])
    const config = await called('ModelConfig', named)
    const number = BigInt(DATA_TYPES.indexOf(datatype))
    expect([valueAt(config, 1, 5, 2), valueAt(config, 1, 6, 2)]).toEqual([number, number])
  })
})

/** `DataType` of Triton's model_config.proto by its numbers. */
const DATA_TYPES = [
  ...['INVALID', 'BOOL', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64'],
  ...['FP16', 'FP32', 'FP64', 'BYTES'],
]

describe('Parameters over gRPC', () => {
  const parameter = (name: string, value: Uint8Array) =>
    delimited(4, joined(delimited(1, name), delimited(2, value)))
  const streamOf = (...parameters: Uint8Array[]) => {
    const decoded = decodeGrpcInfer(joined(delimited(1, 'tiny'), ...parameters))
    return decoded.ok ? decoded.value.stream : decoded.error.code
  }

  it.each<[string, Uint8Array, string]>([
    ['int64', integer(2, 42), '42'],
    ['int64', integer(2, 2n ** 53n + 1n), '9007199254740993'],
    ['uint64', integer(5, 2n ** 53n), '9007199254740992'],
    ['uint64', integer(5, 2n ** 64n - 1n), '18446744073709551615'],
    ['string', delimited(3, 'a-b'), 'a-b'],
  ])('carry the id of a stream, exactly: %s', (_, value, id) => {
    const start = parameter('sequence_start', integer(1, 1))
    expect(streamOf(parameter('sequence_id', value), start)).toEqual({
      ...{ id, start: true, end: false },
    })
  })

  it('refuse a negative id, and a priority past all numbers, with a code', () => {
    expect(streamOf(parameter('sequence_id', integer(2, -1)))).toBe('request.malformed')
    expect(streamOf(parameter('priority', integer(5, 2n ** 64n - 1n)))).toBe('request.malformed')
    expect(streamOf(parameter('priority', integer(5, 2)))).toBeUndefined()
  })
})

describe('The proto file that is shipped', () => {
  const proto = readFileSync(
    new URL('../../../agent/serve/inference.proto', import.meta.url),
    'utf8',
  )
  const numbersOf = (message: string): Record<string, number> => {
    const [, body = ''] = new RegExp(`message ${message} \\{([^]*?)\\n\\}`).exec(proto) ?? []
    const fields = body.matchAll(/^ {2,4}[\w.<>, ]+? (\w+) = (\d+);/gm)
    return Object.fromEntries([...fields].map(([, name, number]) => [name, Number(number)]))
  }

  it.each<[string, Record<string, number>]>([
    [
      'InferTensorContents',
      {
        ...{ bool_contents: 1, int_contents: 2, int64_contents: 3, uint_contents: 4 },
        ...{ uint64_contents: 5, fp32_contents: 6, fp64_contents: 7, bytes_contents: 8 },
      },
    ],
    [
      'InferParameter',
      { bool_param: 1, int64_param: 2, string_param: 3, double_param: 4, uint64_param: 5 },
    ],
    [
      'ModelRepositoryParameter',
      { bool_param: 1, int64_param: 2, string_param: 3, bytes_param: 4 },
    ],
  ])('has the published numbers: %s', (message, numbers) => {
    expect(numbersOf(message)).toMatchObject(numbers)
  })
})
