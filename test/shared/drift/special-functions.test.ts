import { describe, expect, it } from 'vitest'
import {
  chiSquareLogTail,
  chiSquareQuantile,
  logGamma,
  logUpperGamma,
  regularizedBeta,
} from '../../../shared/drift/special-functions.ts'

describe('logGamma', () => {
  it('is ln (n-1)! and half-integer values have their closed form', () => {
    expect(logGamma(1)).toBeCloseTo(0, 14)
    expect(logGamma(11)).toBeCloseTo(Math.log(3_628_800), 13)
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.PI) / 2, 14)
    expect(logGamma(1e-3)).toBeCloseTo(6.907178885383853, 12)
    expect(logGamma(1e6) / 12_815_504.5691476).toBeCloseTo(1, 13)
  })
})

describe('the incomplete gamma function', () => {
  it('is exp(-x) for a = 1, on both sides of its switch', () => {
    for (const x of [0, 1e-6, 0.5, 1.9, 2.1, 30, 5000]) {
      expect(logUpperGamma(1, x)).toBeCloseTo(-x, 10)
    }
  })

  it('is a Poisson sum for whole a', () => {
    for (const [a, x] of [
      [5, 3],
      [5, 9],
      [40, 39],
      [40, 60],
    ] as const) {
      let sum = 0
      for (let k = 0; k < a; k++) sum += Math.exp(k * Math.log(x) - x - logGamma(k + 1))
      expect(logUpperGamma(a, x)).toBeCloseTo(Math.log(sum), 11)
    }
  })

  it('stays finite where the p-value itself is no double', () => {
    expect(chiSquareLogTail(100_000, 20)).toBeLessThan(-49_000)
    expect(chiSquareLogTail(100_000, 20)).toBeGreaterThan(-50_000)
  })
})

describe('chi-square', () => {
  it('has the quantiles of the printed tables', () => {
    expect(chiSquareQuantile(0.05, 1)).toBeCloseTo(3.841459, 6)
    expect(chiSquareQuantile(0.01, 19)).toBeCloseTo(36.190869, 6)
    expect(chiSquareQuantile(0.999, 100)).toBeCloseTo(61.917944, 5)
    expect(chiSquareQuantile(0.05, 2)).toBeCloseTo(-2 * Math.log(0.05), 12)
  })
})

describe('the incomplete beta function', () => {
  it('has its closed forms and its symmetry', () => {
    expect(regularizedBeta(0.3, 1, 4)).toBeCloseTo(1 - 0.7 ** 4, 14)
    expect(regularizedBeta(0.3, 4, 1)).toBeCloseTo(0.3 ** 4, 14)
    expect(regularizedBeta(0.5, 77, 77)).toBeCloseTo(0.5, 13)
    const sides = regularizedBeta(0.02, 8, 300) + regularizedBeta(0.98, 300, 8)
    expect(sides).toBeCloseTo(1, 13)
    expect(regularizedBeta(0, 2, 3)).toBe(0)
    expect(regularizedBeta(1, 2, 3)).toBe(1)
  })
})
