import { describe, expect, it } from 'vitest'
import { elementsOf, fromHalf, numberAt, toHalf } from '../../../shared/model/tensor-value.ts'

describe('Half-precision numbers', () => {
  it('survive the way to a number and back, all 65,536 of them', () => {
    for (let bits = 0; bits < 65_536; bits++) {
      const value = fromHalf(bits)
      if (Number.isNaN(value)) expect(toHalf(value)).toBe(0x7e00)
      else if (toHalf(value) !== bits) expect.fail(`${bits.toString(16)} came back otherwise`)
    }
  })

  it.each([
    [1, 0x3c00],
    [-2, 0xc000],
    [65_504, 0x7bff],
    [65_519.999, 0x7bff],
    [65_520, 0x7c00],
    [Number.NEGATIVE_INFINITY, 0xfc00],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [1.5 * 2 ** -24, 0x0002],
    // Halfway between two halves: the even one.
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [2 - 2 ** -12, 0x4000],
  ])('of %d are 0x%s', (value, bits) => {
    expect(toHalf(value)).toBe(bits)
  })
})

describe('Elements in bytes', () => {
  it('are a view where aligned and a copy where not', () => {
    const bytes = new Uint8Array(12)
    new DataView(bytes.buffer).setFloat32(4, 1.5, true)
    expect(elementsOf('FP32', bytes.subarray(4, 12)).buffer).toBe(bytes.buffer)
    const shifted = new Uint8Array(13)
    shifted.set(bytes, 1)
    const copied = elementsOf('FP32', shifted.subarray(5, 13))
    expect(copied.buffer).not.toBe(shifted.buffer)
    expect([...copied]).toEqual([1.5, 0])
  })

  it('are read as numbers, whatever their type', () => {
    const at = (
      datatype: 'FP16' | 'INT64' | 'BYTES',
      data: Uint16Array | BigInt64Array | string[],
    ) => numberAt({ name: 'x', datatype, shape: [1], data }, 0)
    expect(at('FP16', Uint16Array.of(0x3e00))).toBe(1.5)
    expect(at('INT64', BigInt64Array.of(-7n))).toBe(-7)
    expect(at('BYTES', ['7'])).toBeNaN()
  })
})
