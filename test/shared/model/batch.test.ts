/** Which dimension is counted as the batch of a model. */
import { expect, it } from 'vitest'
import { rowAxisOf, rowsAlong } from '../../../shared/model/batch.ts'

const tensor = (shape: (number | string)[], batchAxis?: number) => ({
  ...{ name: 'x', shape },
  ...(batchAxis === undefined ? {} : { batchAxis }),
})
const free = [tensor(['n', 3])]
const fixed = [tensor([4, 3])]

it.each([
  ['free first dimensions everywhere', free, free, { input: 'x', axis: 0 }],
  ['a free dimension without a name', [tensor(['', 3])], free, { input: 'x', axis: 0 }],
  ['a declared axis', [tensor([2, 'n'], 1)], fixed, { input: 'x', axis: 1 }],
  ['a fixed input', fixed, free, undefined],
  ['a fixed output', free, fixed, undefined],
  ['an input without dimensions', [...free, { name: 'rate', shape: [] }], free, undefined],
  ['no input', [], free, undefined],
])('with %s', (_, inputs, outputs, expected) => {
  expect(rowAxisOf({ inputs, outputs })).toEqual(expected)
})

it('counts a request as its rows, and as one where there are none', () => {
  const axis = { input: 'x', axis: 1 }
  expect(rowsAlong(axis, [{ name: 'x', shape: [2, 7] }])).toBe(7)
  expect(rowsAlong(axis, [{ name: 'x', shape: [2, 0] }])).toBe(1)
  expect(rowsAlong(axis, [{ name: 'y', shape: [2, 7] }])).toBe(1)
  expect(rowsAlong(undefined, [{ name: 'x', shape: [2, 7] }])).toBe(1)
})
