/** Tensors by value: initialisers and the .pb files of golden vectors. */
import { existsSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, utf8 } from '../../../shared/kernel/bytes.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import { decodeTensor, encodeTensor, type NamedTensor } from '../../../shared/onnx/tensor-codec.ts'

const samples: NamedTensor[] = [
  { name: 'f', datatype: 'FP32', shape: [2, 2], data: Float32Array.of(1, -0.5, NaN, Infinity) },
  { name: 'd', datatype: 'FP64', shape: [1], data: Float64Array.of(Math.PI) },
  { name: 'q', datatype: 'INT8', shape: [3], data: Int8Array.of(-128, 0, 127) },
  { name: 'u', datatype: 'UINT8', shape: [2], data: Uint8Array.of(0, 255) },
  { name: 's', datatype: 'INT16', shape: [1], data: Int16Array.of(-2) },
  { name: 'i', datatype: 'INT32', shape: [1], data: Int32Array.of(-7) },
  { name: 'l', datatype: 'INT64', shape: [], data: BigInt64Array.of(-(2n ** 62n)) },
  { name: 'L', datatype: 'UINT64', shape: [1], data: BigUint64Array.of(2n ** 64n - 1n) },
  { name: 'h', datatype: 'FP16', shape: [1], data: Uint16Array.of(0x3c00) },
  { name: 'b', datatype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) },
  { name: 'n', datatype: 'INT4', shape: [3], data: Uint8Array.of(0x21, 0x03) },
  { name: 't', datatype: 'BYTES', shape: [2], data: ['still', 'läuft'] },
  { name: 'e', datatype: 'FP32', shape: [0, 4], data: new Float32Array(0) },
]
const codeOf = (bytes: Uint8Array): string => {
  const result = decodeTensor(bytes)
  return result.ok ? 'ok' : result.error.code
}

describe('a tensor', () => {
  it.each(samples)('of $datatype survives writing and reading', (tensor) => {
    expect(unwrap(decodeTensor(encodeTensor(tensor)))).toEqual(tensor)
  })

  it('is read from any offset of a larger buffer, and shares no memory with it', () => {
    const encoded = encodeTensor(samples[0]!)
    const host = concatBytes(new Uint8Array(3), encoded)
    const tensor = unwrap(decodeTensor(Buffer.from(host.buffer).subarray(3)))
    host.fill(0)
    expect(tensor.data).toEqual(samples[0]!.data)
  })

  it.each([
    ['float_data, packed', [0x0a, 1, 2, 0x10, 1, 0x22, 8, 0, 0, 128, 63, 0, 0, 0, 64], [1, 2]],
    ['float_data, one by one', [0x08, 1, 0x10, 1, 0x25, 0, 0, 128, 63], [1]],
    [
      'int32_data of INT8',
      [0x08, 1, 0x10, 3, 0x28, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
      [-1],
    ],
    ['uint64_data of UINT32', [0x08, 1, 0x10, 12, 0x5a, 1, 9], [9]],
  ])('is read from %s', (_, bytes, expected) => {
    const { data } = unwrap(decodeTensor(Uint8Array.from(bytes)))
    expect(Array.from(data as Float32Array)).toEqual(expected)
  })

  it('is refused when its data does not fit its shape', () => {
    expect(codeOf(Uint8Array.of(0x08, 5, 0x10, 1, 0x4a, 4, 0, 0, 0, 0))).toBe('onnx.not_a_tensor')
    const vast = Uint8Array.of(0x08, 255, 255, 255, 255, 15, 0x10, 1)
    expect(codeOf(vast)).toBe('onnx.not_a_tensor')
    expect(codeOf(utf8('no tensor at all'))).toBe('onnx.not_a_tensor')
    expect(codeOf(new Uint8Array(0))).toBe('onnx.not_a_tensor')
  })

  it('is refused when its elements are elsewhere, or complex', () => {
    expect(codeOf(Uint8Array.of(0x10, 1, 0x70, 1))).toBe('onnx.unsupported_tensor')
    expect(codeOf(Uint8Array.of(0x10, 14))).toBe('onnx.unsupported_tensor')
  })

  it('never throws on any bytes', () => {
    const encoded = encodeTensor(samples[0]!)
    const edits = fc.array(fc.tuple(fc.nat(encoded.length - 1), fc.nat(255)), { maxLength: 4 })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), edits, (noise, changes) => {
        decodeTensor(noise)
        const mutated = encoded.slice()
        for (const [at, value] of changes) mutated[at] = value
        decodeTensor(mutated)
      }),
      { numRuns: 500 },
    )
  })
})

const golden = new URL(
  '../../../../shared/models/light/light_resnet50_output_0.pb',
  import.meta.url,
)

it.skipIf(!existsSync(golden))(
  'the golden output of resnet50 in ../shared/models (skipped when absent) sums to 1',
  () => {
    const tensor = unwrap(decodeTensor(readFileSync(golden)))
    expect(tensor.shape).toEqual([1, 1000])
    const sum = (tensor.data as Float32Array).reduce((total, value) => total + value, 0)
    expect(sum).toBeCloseTo(1, 4)
  },
)
