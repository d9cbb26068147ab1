import { describe, expect, it } from 'vitest'
import { featureValue } from '../../../shared/model/feature-value.ts'
import type { Feature } from '../../../shared/model/manifest.ts'

const tensors = [
  { name: 'x', datatype: 'FP32' as const, shape: [6], data: Float32Array.of(4, 1, 2, 3, 6, 9) },
  { name: 'words', datatype: 'BYTES' as const, shape: [1], data: ['a'] },
]
const read = (more: Partial<Feature>) =>
  featureValue({ name: 'f', tensor: 'x', reduce: 'element', offset: 0, count: 0, ...more }, tensors)

describe('A feature of a request', () => {
  it.each<[Partial<Feature>, number | null]>([
    [{ offset: 4 }, 6],
    [{ offset: 6 }, null],
    [{ reduce: 'mean', offset: 1, count: 3 }, 2],
    [{ reduce: 'std', offset: 1, count: 3 }, Math.sqrt(2 / 3)],
    [{ reduce: 'min' }, 1],
    [{ reduce: 'max', offset: 1, count: 4 }, 6],
    [{ reduce: 'mean', offset: 4, count: 100 }, 7.5],
    [{ tensor: 'y' }, null],
    [{ tensor: 'words' }, null],
  ])('%o is %d', (feature, value) => {
    if (value === null) expect(read(feature)).toBeNull()
    else expect(read(feature)).toBeCloseTo(value, 12)
  })

  it('reads at most 4,096 elements, evenly', () => {
    const data = Float32Array.from({ length: 10_000 }, (_, i) => i)
    const ramp = { name: 'x', datatype: 'FP32' as const, shape: [10_000], data }
    const feature = { name: 'f', tensor: 'x', reduce: 'max' as const, offset: 0, count: 0 }
    // Every third element: the last one read is 9,999.
    expect(featureValue(feature, [ramp])).toBe(9_999)
    expect(featureValue({ ...feature, reduce: 'mean' }, [ramp])).toBe(4_999.5)
  })

  it('is NaN where a value is', () => {
    const nan = { ...tensors[0]!, data: Float32Array.of(1, Number.NaN, 2, 3, 4, 5) }
    for (const reduce of ['mean', 'std', 'min', 'max'] as const) {
      const feature = { name: 'f', tensor: 'x', reduce, offset: 0, count: 0 }
      expect(featureValue(feature, [nan])).toBeNaN()
    }
  })
})
