/** Our own functions against the engine's, which may differ in the last bits only. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createPrng } from '../../../shared/kernel/prng.ts'
import {
  exponential,
  normalNoise,
  sineOfTurns,
  uniform,
} from '../../../shared/motor/portable-math.ts'

it('the sine of turns is within 1e-9', () => {
  fc.assert(
    fc.property(fc.double({ min: -50, max: 50, noNaN: true }), (turns) => {
      expect(Math.abs(sineOfTurns(turns) - Math.sin(2 * Math.PI * turns))).toBeLessThan(1e-9)
    }),
  )
})

it('the exponential is within 1e-13 of its value, 0 and infinite far out', () => {
  fc.assert(
    fc.property(fc.double({ min: -600, max: 600, noNaN: true }), (x) => {
      expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(1e-13)
    }),
  )
  expect(exponential(-1_000)).toBe(0)
  expect(exponential(1_000)).toBe(Number.POSITIVE_INFINITY)
})

it('the normal noise has mean 0, variance 1, and normal tails', () => {
  const random = createPrng('noise')
  const draws = Array.from({ length: 40_000 }, () => normalNoise(random))
  const mean = draws.reduce((sum, x) => sum + x, 0) / draws.length
  const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / draws.length
  const outside = draws.filter((x) => Math.abs(x) > 1.96).length / draws.length
  expect(Math.abs(mean)).toBeLessThan(0.02)
  expect(Math.abs(variance - 1)).toBeLessThan(0.03)
  expect(Math.abs(outside - 0.05)).toBeLessThan(0.006)
})

it('the uniform draw stays in its bounds', () => {
  const random = createPrng('uniform')
  const draws = Array.from({ length: 1_000 }, () => uniform(random, 2, 3))
  expect(Math.min(...draws)).toBeGreaterThanOrEqual(2)
  expect(Math.max(...draws)).toBeLessThan(3)
})
