/** Counting at once what came one by one. */
import { expect, it } from 'vitest'
import { countTogether } from '../../../../agent/runtime/plane/count-together.ts'

it('counts each once and in order, at the latest with the 32nd or when somebody reads', () => {
  const counted: number[] = []
  const together = countTogether<number>((item) => counted.push(item))
  for (let i = 0; i < 31; i++) together.add(i)
  expect(counted).toEqual([])
  together.add(31)
  expect(counted).toHaveLength(32)
  together.add(32)
  together.settle()
  together.settle()
  expect(counted).toEqual(Array.from({ length: 33 }, (_, i) => i))
})
