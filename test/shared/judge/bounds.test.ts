import { describe, expect, it } from 'vitest'
import { logGamma } from '../../../shared/drift/special-functions.ts'
import {
  chanceOfAtLeast,
  chanceOfAtMost,
  differenceBounds,
  lowerBound,
  oneSidedZ,
  upperBound,
} from '../../../shared/judge/bounds.ts'

/** P(X = k) for X binomial, by its definition. */
function binomial(n: number, k: number, rate: number): number {
  const logChoose = logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1)
  return Math.exp(logChoose + k * Math.log(rate) + (n - k) * Math.log1p(-rate))
}

describe('bounds of a share', () => {
  it('are the sums of binomial chances', () => {
    for (const [n, bad, rate] of [
      [10, 3, 0.2],
      [300, 7, 0.02],
      [40, 39, 0.9],
    ] as const) {
      let atLeast = 0
      for (let k = bad; k <= n; k++) atLeast += binomial(n, k, rate)
      expect(chanceOfAtLeast({ n, bad }, rate)).toBeCloseTo(atLeast, 11)
      expect(chanceOfAtMost({ n, bad: bad - 1 }, rate)).toBeCloseTo(1 - atLeast, 11)
    }
  })

  it('have their closed form when none or all are bad', () => {
    expect(upperBound({ n: 149, bad: 0 }, 0.05)).toBeCloseTo(1 - 0.05 ** (1 / 149), 12)
    expect(lowerBound({ n: 7, bad: 7 }, 0.01)).toBeCloseTo(0.01 ** (1 / 7), 12)
    expect(lowerBound({ n: 7, bad: 0 }, 0.01)).toBe(0)
    expect(upperBound({ n: 7, bad: 7 }, 0.01)).toBe(1)
    expect(upperBound({ n: 0, bad: 0 }, 0.05)).toBe(1)
  })

  it('stay quick and finite for a hundred million requests', () => {
    const share = { n: 100_000_000, bad: 1_000_000 }
    expect(lowerBound(share, 0.01)).toBeCloseTo(0.01, 4)
    expect(lowerBound(share, 0.01)).toBeLessThan(0.01)
    expect(upperBound(share, 0.01)).toBeGreaterThan(0.01)
  })
})

describe('bounds of a difference', () => {
  it('say nothing without data', () => {
    const z = { lower: oneSidedZ(0.01), upper: oneSidedZ(0.05) }
    const nothing = { n: 0, bad: 0 }
    expect(differenceBounds(nothing, nothing, z)).toEqual({ lower: -1, upper: 1 })
  })

  it('of 56 of 70 and 48 of 80 are those of Newcombe (1998), table II', () => {
    const bounds = differenceBounds(
      { n: 70, bad: 56 },
      { n: 80, bad: 48 },
      { lower: oneSidedZ(0.025), upper: oneSidedZ(0.025) },
    )
    expect(bounds.lower).toBeCloseTo(0.0524, 4)
    expect(bounds.upper).toBeCloseTo(0.3339, 4)
  })

  it.each([20, 60, 200])('with %i labels err about as often as they say', (n) => {
    // Every outcome of two arms, the canary worse by exactly the limit of 5 points.
    const alpha = 0.005
    const z = { lower: oneSidedZ(alpha), upper: oneSidedZ(alpha) }
    let worst = 0
    for (const rate of [0.01, 0.05, 0.2, 0.5]) {
      let falseBreach = 0
      for (let wrong = 0; wrong <= n; wrong++) {
        const chance = binomial(n, wrong, rate + 0.05)
        for (let base = 0; base <= n && chance > 1e-9; base++) {
          const { lower } = differenceBounds({ n, bad: wrong }, { n, bad: base }, z)
          if (lower <= 0.05) break
          falseBreach += chance * binomial(n, base, rate)
        }
      }
      worst = Math.max(worst, falseBreach)
    }
    expect(worst).toBeLessThan(1.5 * alpha)
  })
})
