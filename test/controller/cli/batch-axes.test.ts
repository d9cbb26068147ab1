import { describe, expect, it } from 'vitest'
import { readBatchAxes, withBatchAxes } from '../../../controller/cli/batch-axes.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'

const f32 = (name: string, shape: (number | string)[]): TensorSpec => ({
  ...{ name, datatype: 'FP32', shape },
})
const SILERO = {
  inputs: [f32('input', ['', '']), f32('state', [2, '', 128]), f32('sr', [])],
  outputs: [f32('output', ['', 1]), f32('stateN', ['', '', ''])],
}
const refusal = (text: string) => {
  try {
    return withBatchAxes(SILERO, readBatchAxes(text) as Record<string, number>)
  } catch (cause) {
    return cause
  }
}

describe('The batch axes of a release', () => {
  it('stand at its tensors', () => {
    const axes = { input: 0, state: 1, sr: 'equal', stateN: 1 } as const
    expect(readBatchAxes('input=0,state=1,sr=equal,stateN=1')).toEqual(axes)
    const { inputs, outputs } = withBatchAxes(SILERO, axes)
    expect(inputs.map(({ batchAxis, equal }) => [batchAxis, equal])).toEqual([
      [0, undefined],
      [1, undefined],
      [undefined, true],
    ])
    expect(outputs.map(({ batchAxis }) => batchAxis)).toEqual([undefined, 1])
  })

  it('are left to the device where nothing is said', () => {
    expect(withBatchAxes(SILERO)).toEqual(SILERO)
  })

  it.each([
    ['input=0,state=1,sr=equal,more=0', 'no such tensor'],
    ['input=0,state=0,sr=equal', '2 at 0'],
    ['input=0,state=1,sr=3', 'none at 3'],
    ['input=0,state=1', 'nothing'],
  ])('refuse %s', (text, found) => {
    expect(refusal(text)).toMatchObject({ problem: { code: 'release.batch_axis', found } })
  })
})
