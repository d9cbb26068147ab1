/** What counts as right of a model that nobody described, by the size of its outputs. */
import { expect, it } from 'vitest'
import { unsignedTolerance } from '../../../agent/runtime/unsigned-tolerance.ts'
import { goldenTensor } from '../../../shared/model/golden-compare.ts'
import { tensor } from '../../fixtures/operators/case.ts'

const vector = (...outputs: ReturnType<typeof tensor>[]) => ({
  inputs: [],
  outputs: outputs.map(goldenTensor),
})
const y = (...values: number[]) => tensor('y', 'FP32', [values.length], values)

it.each([
  ['a probability of 0.035 keeps the least', [vector(y(0.035))], 1e-4],
  ['values up to 5 may differ by 0.005', [vector(y(-5, 0)), vector(y(1, 2))], 5e-3],
  ['the smaller output sets the measure', [vector(y(5), tensor('z', 'FP16', [1], [0.5]))], 5e-4],
  [
    'whole numbers, infinity and NaN are no measure',
    [vector(tensor('n', 'INT64', [1], [9_000]), y(Infinity, Number.NaN, 2))],
    2e-3,
  ],
  ['without outputs it is the least', [vector()], 1e-4],
])('%s', (_, vectors, absolute) => {
  const tolerance = unsignedTolerance(vectors)
  expect(tolerance).toMatchObject({ relative: 1e-3, nan: 'equal' })
  expect(tolerance.absolute).toBeCloseTo(absolute, 9)
})
