import { describe, expect, it } from 'vitest'
import { compareWithGolden } from '../../../shared/model/golden-compare.ts'
import { bytesOf } from '../../../shared/model/tensor-value.ts'

const tensor = (values: number[], name = 'y') => ({
  ...{ name, datatype: 'FP32' as const, shape: [values.length] },
  data: Float32Array.from(values),
})
const golden = (values: number[]) => ({ ...tensor(values), data: bytesOf(tensor(values).data) })
const compare = (found: number[], expected: number[], absolute = 0.1, relative = 0.01) =>
  compareWithGolden([tensor(found)], [golden(expected)], { absolute, relative })

describe('An output against its golden value', () => {
  it('may differ by the absolute tolerance and the relative one together', () => {
    expect(compare([100.5, 0.05], [100, 0])).toMatchObject({ passed: true, reason: '' })
    expect(compare([101.2, 0], [100, 0])).toMatchObject({
      passed: false,
      reason: 'y[0]: expected 100 within 1.10, found 101.19999694824219',
    })
    expect(compare([101.2, 0], [100, 0]).differenceMax).toBeCloseTo(1.2, 4)
  })

  it('is never right where it is NaN, even against NaN', () => {
    expect(compare([Number.NaN], [0]).passed).toBe(false)
    expect(compare([Number.NaN], [Number.NaN]).passed).toBe(false)
  })

  it('passes infinity only as the same infinity', () => {
    expect(compare([Infinity], [Infinity]).passed).toBe(true)
    expect(compare([-Infinity], [Infinity]).passed).toBe(false)
    expect(compare([1e30], [Infinity], 1e38).passed).toBe(false)
  })

  it('must be there, in its shape and type', () => {
    expect(
      compareWithGolden([tensor([1], 'z')], [golden([1])], { absolute: 1, relative: 1 }),
    ).toEqual({ passed: false, differenceMax: null, reason: 'output y is missing' })
    expect(compare([1, 2], [1]).reason).toBe('y: expected FP32 [1], found FP32 [2]')
  })
})
