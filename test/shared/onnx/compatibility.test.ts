import { describe, expect, it } from 'vitest'
import type { TensorSpec } from '../../../shared/model/tensor.ts'
import { checkCompatible } from '../../../shared/onnx/compatibility.ts'

const f32 = (name: string, ...shape: (number | string)[]): TensorSpec => ({
  ...{ name, datatype: 'FP32', shape },
})
const current = { inputs: [f32('x', 'n', 3)], outputs: [f32('y', 'n', 2)] }
const check = (candidate: Partial<typeof current>, before = current) =>
  checkCompatible({ ...current, ...candidate }, before)

describe('A candidate for what serves', () => {
  it.each<[string, Partial<typeof current>]>([
    ['the same signature', {}],
    ['another name for a free dimension', { inputs: [f32('x', '', 3)] }],
    ['an input that takes more sizes', { inputs: [f32('x', 'n', 'm')] }],
    ['an output that fixes a size', { outputs: [f32('y', 1, 2)] }],
  ])('may have %s', (_, candidate) => {
    expect(check(candidate).ok).toBe(true)
  })

  it.each<[string, Partial<typeof current>, string]>([
    ['an input less', { inputs: [] }, 'no input x'],
    ['an input more', { inputs: [f32('x', 'n', 3), f32('sr')] }, 'new input sr'],
    ['a fixed size where any was taken', { inputs: [f32('x', 1, 3)] }, 'is FP32 [1,3], was'],
    ['another size', { outputs: [f32('y', 'n', 4)] }, 'output y is FP32 [n,4], was FP32 [n,2]'],
    ['another rank', { outputs: [f32('y', 2)] }, 'output y is FP32 [2]'],
    [
      'another type',
      { inputs: [{ name: 'x', datatype: 'INT64', shape: ['n', 3] }] },
      'input x is INT64 [n,3]',
    ],
    ['another name', { outputs: [f32('z', 'n', 2)] }, 'no output y; new output z'],
  ])('may not have %s', (_, candidate, found) => {
    expect(check(candidate)).toMatchObject({
      ok: false,
      error: {
        code: 'admission.signature_changed',
        expected: 'x FP32 [n,3] -> y FP32 [n,2]',
        found: expect.stringContaining(found),
      },
    })
  })
})
