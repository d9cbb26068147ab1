import { describe, expect, it } from 'vitest'
import { disclosed } from '../../../../agent/runtime/plane/disclose.ts'
import { predictionOf } from '../../../../agent/runtime/plane/read-answer.ts'
import { fromHalf, type TensorValue, toHalf } from '../../../../shared/model/tensor-value.ts'

const classes = { tensor: 'scores', names: ['a', 'b', 'c'] }
const scores = (...values: number[]): TensorValue => ({
  ...{ name: 'scores', datatype: 'FP32', shape: [values.length / 3, 3] },
  data: Float32Array.from(values),
})
const shown = (disclosure: { decimals?: number; topK?: number }, ...values: number[]) => {
  const [output] = disclosed([scores(...values)], { disclosure, classes })
  return [...(output!.data as Float32Array)].map((value) => Number(value.toFixed(4)))
}

describe('what of an answer leaves the device', () => {
  it('is everything without a policy', () => {
    const outputs = [scores(0.1, 0.2, 0.7)]
    expect(disclosed(outputs, { classes })).toBe(outputs)
  })

  it('is rounded to so many decimals', () => {
    expect(shown({ decimals: 1 }, 0.1234, 0.1666, 0.71)).toEqual([0.1, 0.2, 0.7])
  })

  it('is the largest scores of each row alone', () => {
    expect(shown({ topK: 1 }, 0.1, 0.2, 0.7, 0.5, 0.3, 0.2)).toEqual([0, 0, 0.7, 0.5, 0, 0])
    expect(shown({ topK: 2 }, 0.1, 0.2, 0.7)).toEqual([0, 0.2, 0.7])
  })

  it('is as little of an FP16 output', () => {
    const half = Uint16Array.from([0.1234, 0.1666, 0.71], toHalf)
    const output: TensorValue = { name: 'scores', datatype: 'FP16', shape: [1, 3], data: half }
    const [told] = disclosed([output], { disclosure: { topK: 2, decimals: 1 }, classes })
    const values = [...(told!.data as Uint16Array)].map(fromHalf)
    expect(values.map((value) => Number(value.toFixed(2)))).toEqual([0, 0.2, 0.7])
  })

  it('keeps the predicted class of negative logits', () => {
    const disclosure = { topK: 1 }
    const [output] = disclosed([scores(-3, -1, -2)], { disclosure, classes })
    expect(predictionOf(classes, [output!])?.classIndex).toBe(1)
    expect(shown(disclosure, -3, -1, -2)).toEqual([-2, -1, -2])
  })

  it('leaves the model host its own copy', () => {
    const original = scores(0.12, 0.18, 0.7)
    disclosed([original], { disclosure: { decimals: 0 }, classes })
    expect([...(original.data as Float32Array)][0]).toBeCloseTo(0.12)
  })
})
