import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type BatchAxes,
  fitsTogether,
  rowsOf,
  splitOutputs,
  stackInputs,
} from '../../../../agent/runtime/plane/stack-batch.ts'
import type { TensorValue } from '../../../../shared/model/tensor-value.ts'

const tensor = (name: string, shape: number[], from = 0): TensorValue => ({
  name,
  datatype: 'FP32',
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => from + i),
})
const rate = (hz: number): TensorValue => ({
  name: 'sr',
  datatype: 'INT64',
  shape: [],
  data: BigInt64Array.of(BigInt(hz)),
})
const AXES: BatchAxes = { x: 0, state: 1, sr: null }
const request = (rows: number, from = 0, hz = 16_000): TensorValue[] => [
  tensor('x', [rows, 3], from),
  tensor('state', [2, rows, 2], from),
  rate(hz),
]

describe('Requests that run together', () => {
  it('are stacked along the axis of each tensor, and share what has none', () => {
    const [x, state, sr] = stackInputs([request(1), request(1, 100)], AXES)
    expect([x?.shape, [...(x?.data ?? [])]]).toEqual([
      [2, 3],
      [0, 1, 2, 100, 101, 102],
    ])
    expect([state?.shape, [...(state?.data ?? [])]]).toEqual([
      [2, 2, 2],
      [0, 1, 100, 101, 2, 3, 102, 103],
    ])
    expect([sr?.shape, sr?.data]).toEqual([[], BigInt64Array.of(16_000n)])
  })

  it('get back what they brought, whatever their shapes, axis and rows', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 })
    const shape = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(shape, fc.nat(3), sizes, (dims, at, rows) => {
        const axis = at % dims.length
        const requests = rows.map((n, i) => [tensor('x', dims.with(axis, n), i * 1_000)])
        const stacked = stackInputs(requests, { x: axis })
        expect(splitOutputs(stacked, rows, { x: axis })).toEqual(requests)
      }),
      { numRuns: 200 },
    )
  })

  it('share a tensor only where every bit is the same: 0 is not -0, and NaN is nothing', () => {
    const scale = (value: number): TensorValue[] => [
      tensor('x', [1, 1]),
      { name: 'scale', datatype: 'FP32', shape: [1], data: Float32Array.of(value) },
    ]
    const fits = (a: number, b: number) => fitsTogether(scale(a), scale(b), { x: 0, scale: null })
    expect([fits(0, 0), fits(-0, -0), fits(2, 2)]).toEqual([true, true, true])
    expect([fits(0, -0), fits(-0, 0), fits(Number.NaN, Number.NaN)]).toEqual([false, false, false])
  })

  it('have their own copies of the outputs', () => {
    const outputs = [tensor('y', [2, 2]), tensor('all', [1])]
    const split = splitOutputs(outputs, [1, 1], { y: 0, all: null })
    expect(split?.map(([y]) => [...(y?.data ?? [])])).toEqual([
      [0, 1],
      [2, 3],
    ])
    const buffers = split?.flat().map(({ data }) => (data as Float32Array).buffer)
    expect(new Set(buffers).size).toBe(4)
  })

  it('are not taken apart when an output has not a row for each', () => {
    expect(splitOutputs([tensor('y', [3, 2])], [1, 1], { y: 0 })).toBeUndefined()
    expect(splitOutputs([tensor('other', [2, 2])], [1, 1], { y: 0 })).toBeUndefined()
  })

  it('agree in everything but the batch axis and their values', () => {
    expect(fitsTogether(request(1), request(2, 7), AXES)).toBe(true)
    expect(fitsTogether(request(1), request(1).toReversed(), AXES)).toBe(true)
    expect(fitsTogether(request(1), request(1, 0, 8_000), AXES)).toBe(false)
    const wide = request(1).with(0, tensor('x', [1, 4]))
    expect(fitsTogether(request(1), wide, AXES)).toBe(false)
  })

  it('bring one number of rows each', () => {
    expect(rowsOf(request(3), AXES)).toBe(3)
    expect(rowsOf(request(1).with(1, tensor('state', [2, 2, 2])), AXES)).toBeUndefined()
    expect(rowsOf(request(0), AXES)).toBeUndefined()
    expect(rowsOf([tensor('unknown', [1])], AXES)).toBeUndefined()
  })
})
