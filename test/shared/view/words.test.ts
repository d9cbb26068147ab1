/** Times, counts and shares as words. */
import { expect, test } from 'vitest'
import { ago, bytes, count, duration, percent } from '../../../shared/view/words.ts'

test.each([
  [-5, '0 s'],
  [999, '0 s'],
  [1_000, '1 s'],
  [252_000, '4 min 12 s'],
  [240_000, '4 min'],
  [900_000, '15 min'],
  [7_500_000, '2 h 5 min'],
  [90_000_000, '1 d'],
])('%d ms is %s', (ms, text) => expect(duration(ms)).toBe(text))

test.each([
  [0, '0 %'],
  [0.004_21, '0.42 %'],
  [0.05, '5 %'],
  [0.0512, '5.1 %'],
  [0.731, '73 %'],
  [1, '100 %'],
  [null, 'no data'],
])('a share of %s is %s', (share, text) => expect(percent(share)).toBe(text))

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [6_223, '6.2 kB'],
  [44_000_000, '44 MB'],
  [2_147_483_647, '2.1 GB'],
])('%d bytes are %s', (n, text) => expect(bytes(n)).toBe(text))

test('nothing is ever seen in the future', () => {
  expect(ago(2_000, 1_000)).toBe('just now')
  expect(ago(null, 1_000)).toBe('never')
  expect(ago(1_000, 62_000)).toBe('1 min 1 s ago')
})

test('one device, two devices', () => {
  expect([count(1, 'device'), count(1_204, 'device')]).toEqual(['1 device', '1,204 devices'])
})
