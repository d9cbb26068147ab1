/** Which output the lines of a labels file name. */
import { describe, expect, it } from 'vitest'
import { classesFrom } from '../../../agent/runtime/class-labels.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'

const output = (name: string, ...shape: (number | string)[]): TensorSpec => ({
  ...{ name, datatype: 'FP32', shape },
})

describe('Labels of classes', () => {
  it.each<[string, TensorSpec]>([
    ['a batch of any size', output('y', 'n', 3)],
    ['a batch of one', output('y', 1, 3, 1, 1)],
    ['no batch', output('y', 3)],
  ])('name the output with as many elements: %s', (_, named) => {
    const outputs = [output('boxes', 'n', 'm', 4), named]
    expect(classesFrom('a\r\n b \n\nc\n', outputs)).toEqual({
      ok: true,
      value: { tensor: 'y', names: ['a', 'b', 'c'] },
    })
  })

  it('that fit no output are refused with their number', () => {
    const outputs = [output('y', 'n', 3), { ...output('t', 2), datatype: 'BYTES' as const }]
    for (const [text, found] of [
      ['a\nb', '2 lines'],
      ['', '0 lines'],
    ] as const) {
      expect(classesFrom(text, outputs)).toMatchObject({
        error: { code: 'labels.unusable', found },
      })
    }
    expect(classesFrom('only', [output('y', 'n', 1)])).toMatchObject({ ok: false })
  })
})
