/** One request, whatever stands in it, keeps the host busy for a bounded time only. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { describe, expect, it } from 'vitest'
import { decodeGrpcInfer } from '../../../agent/serve/grpc-request.ts'
import { decodeInfer } from '../../../agent/serve/infer-decode.ts'
import type { Result } from '../../../shared/kernel/result.ts'

const MILLION = 2 ** 20
const utf8 = new TextEncoder()
const json = (data: string, shape: number[]) =>
  utf8.encode(`{"inputs":[{"name":"x","datatype":"FP32","shape":[${shape}],"data":${data}}]}`)
const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.error.code)

/** One input, its contents as the field says. */
function grpc(datatype: string, shape: number[], field: number, packed: Uint8Array, times = 1) {
  const writer = new BinaryWriter().tag(1, 2).string('tiny').tag(5, WireType.LengthDelimited).fork()
  writer.tag(1, 2).string('x').tag(2, 2).string(datatype).tag(3, 2).fork()
  for (const size of shape) writer.int64(size)
  writer.join().tag(5, WireType.LengthDelimited).fork()
  for (let i = 0; i < times; i++) writer.tag(field, WireType.LengthDelimited).bytes(packed)
  return writer.join().join().finish()
}
const ones = (count: number) => new Uint8Array(count).fill(1)

describe('A document of JSON', () => {
  it.each([
    ['empty arrays', `[${'[],'.repeat(2.2 * MILLION)}[]]`],
    ['empty objects', `[${'{},'.repeat(2.2 * MILLION)}{}]`],
    ['empty texts', `[${'"",'.repeat(2.2 * MILLION)}""]`],
    ['arrays within arrays', `${'['.repeat(2.2 * MILLION)}${']'.repeat(2.2 * MILLION)}`],
    ['numbers', `[${'0,'.repeat(8 * MILLION)}0]`],
  ])('of millions of %s is refused before it is parsed', (_, data) => {
    const refused = decodeInfer(json(data, [1, 2]), undefined)
    expect(codeOf(refused)).toBe('request.too_large')
    expect(refused).toMatchObject({
      error: { next: 'send the tensors as binary data (binary_data_size)' },
    })
  })

  it('of a million numbers, nested by rows of one, is read', () => {
    const decoded = decodeInfer(
      json(`[${'[0.5],'.repeat(MILLION - 1)}[0.5]]`, [MILLION, 1]),
      undefined,
    )
    expect(decoded.ok && decoded.value.inputs[0]?.data.length).toBe(MILLION)
  })

  it('may be long where it holds little: an image of long numbers', () => {
    const count = 3 * 640 * 640
    const data = `[${'0.12345678901234567,'.repeat(count - 1)}1]`
    const decoded = decodeInfer(json(data, [3, 640, 640]), undefined)
    expect(decoded.ok && decoded.value.inputs[0]?.data.length).toBe(count)
  })
})

describe('Typed contents over gRPC', () => {
  it.each([
    ['BOOL', 1],
    ['INT32', 2],
    ['INT64', 3],
    ['UINT32', 4],
    ['UINT64', 5],
  ])('are read no further than the shape asks for: %s', (datatype, field) => {
    expect(codeOf(decodeGrpcInfer(grpc(datatype, [1, 2], field, ones(3))))).toBe(
      'infer.invalid_input',
    )
    const read = decodeGrpcInfer(grpc(datatype, [1, 2], field, ones(2)))
    expect(read.ok && [...(read.value.inputs[0]?.data ?? [])].map(Number)).toEqual([1, 1])
  })

  it('stop at the first value over the shape, whatever follows it', () => {
    const broken = Uint8Array.of(1, 1, 1, ...new Uint8Array(20).fill(0xff))
    const refused = decodeGrpcInfer(grpc('UINT64', [1, 2], 5, broken))
    expect(refused).toMatchObject({
      error: { code: 'infer.invalid_input', expected: '2 elements, from its shape', found: 'more' },
    })
  })

  it('have a limit for all inputs of a request, whatever shape they claim', () => {
    const count = 2 ** 22 + 1
    const refused = decodeGrpcInfer(grpc('BOOL', [count], 1, ones(count)))
    expect(refused).toMatchObject({
      error: { code: 'request.too_large', next: 'send the tensors as raw_input_contents' },
    })
    const none = new Uint8Array()
    expect(codeOf(decodeGrpcInfer(grpc('BOOL', [count], 1, none, count)))).toBe('request.too_large')
  })

  it('keep all of 64 bits', () => {
    const packed = new BinaryWriter()
      .uint64(2n ** 64n - 1n)
      .uint64(2n ** 53n)
      .finish()
    const read = decodeGrpcInfer(grpc('UINT64', [2], 5, packed))
    expect(read.ok && read.value.inputs[0]?.data).toEqual(
      BigUint64Array.of(2n ** 64n - 1n, 2n ** 53n),
    )
    expect(codeOf(decodeGrpcInfer(grpc('INT8', [2], 5, packed)))).toBe('infer.invalid_input')
  })

  it('a message of more fields than any request has is refused', () => {
    const entries = new Uint8Array(2 * 1_100)
    for (let i = 0; i < entries.length; i += 2) entries[i] = (4 << 3) | WireType.LengthDelimited
    expect(codeOf(decodeGrpcInfer(entries))).toBe('request.malformed')
  })
})

describe('Data in JSON', () => {
  const read = (datatype: string, shape: number[], data: unknown) => {
    const body = JSON.stringify({ inputs: [{ name: 'x', datatype, shape, data }] })
    return decodeInfer(utf8.encode(body), undefined)
  }

  it.each([
    ['FP32', 1e39],
    ['FP32', -1e39],
    ['FP16', 70_000],
    ['FP16', -70_000],
  ])('that %s cannot hold is refused, not made infinite: %d', (datatype, value) => {
    expect(read(datatype, [2], [1, value])).toMatchObject({
      error: { code: 'infer.invalid_input', found: `${JSON.stringify(value)} at element 1` },
    })
    expect(read(datatype, [2], ['Infinity', '-Infinity']).ok).toBe(true)
  })

  it('may be flat or nested as the shape says, and no other way', () => {
    const flat = [1, 2, 3, 4, 5, 6]
    expect(read('FP32', [1, 2, 3], flat).ok).toBe(true)
    expect(
      read(
        'FP32',
        [1, 2, 3],
        [
          [
            [1, 2, 3],
            [4, 5, 6],
          ],
        ],
      ).ok,
    ).toBe(true)
    for (const other of [
      [
        [1, 2, 3, 4],
        [5, 6],
      ],
      [
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
      ],
      [
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
        [],
      ],
      [
        [
          [1, 2, 3],
          [4, 5, [6]],
        ],
      ],
      [[[1, 2, 3], 4, 5, 6]],
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
    ]) {
      expect(codeOf(read('FP32', [1, 2, 3], other))).toBe('infer.invalid_input')
    }
    expect(read('FP32', [2, 0], [[], []]).ok).toBe(true)
  })
})

describe('A shape from the wire', () => {
  /** A gibibyte of FP32: what the largest shape asks for that is not refused as a shape. */
  const CLAIMED = [2 ** 14, 2 ** 14]
  const input = { name: 'x', datatype: 'FP32', shape: CLAIMED }
  const request = (more: object) => utf8.encode(JSON.stringify({ inputs: [{ ...input, ...more }] }))
  const binary = () => {
    const head = request({ parameters: { binary_data_size: 8 } })
    return decodeInfer(Uint8Array.of(...head, ...new Uint8Array(8)), head.length)
  }
  const raw = (datatype: string) => {
    const writer = new BinaryWriter().tag(1, 2).string('tiny').tag(5, 2).fork()
    writer.tag(1, 2).string('x').tag(2, 2).string(datatype).tag(3, 2).fork()
    for (const size of CLAIMED) writer.int64(size)
    return decodeGrpcInfer(writer.join().join().tag(7, 2).bytes(new Uint8Array(8)).finish())
  }

  it.each<[string, () => Result<unknown>]>([
    ['JSON', () => decodeInfer(request({ data: [1, 2] }), undefined)],
    ['nested JSON', () => decodeInfer(request({ data: [[1, 2]] }), undefined)],
    ['JSON of texts', () => decodeInfer(request({ datatype: 'BYTES', data: ['a'] }), undefined)],
    ['binary data', binary],
    ['contents over gRPC', () => decodeGrpcInfer(grpc('FP32', CLAIMED, 6, new Uint8Array(8)))],
    ['raw contents over gRPC', () => raw('FP32')],
    ['raw texts over gRPC', () => raw('BYTES')],
  ])('is granted no memory before the elements are there: %s', (_, decode) => {
    const { arrayBuffers: before } = process.memoryUsage()
    const refused = decode()
    const { arrayBuffers: after } = process.memoryUsage()
    expect(codeOf(refused)).toBe('infer.invalid_input')
    expect(after - before).toBeLessThan(2 ** 26)
  })
})
