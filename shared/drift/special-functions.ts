/**
 * The special functions behind every p-value and bound: gamma, incomplete gamma, incomplete beta.
 * Formula numbers are those of the NIST Digital Library of Mathematical Functions (dlmf.nist.gov).
 * Tails come as logarithms where they underflow: at chi-square 2,000 a p-value is not a double.
 */
import { assert } from '../kernel/assert.ts'

const TERMS_MAX = 100_000
const PRECISION = 1e-15
/** Stands in for 0 in Lentz's continued fractions. */
const TINY = 1e-300

/** Bernoulli numbers over 2k(2k-1): Stirling's series, DLMF 5.11.1. */
const STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360_360, 1 / 156] as const
const STIRLING_FROM = 15

/** ln Gamma(x) for x > 0, to about 1e-14. */
export function logGamma(x: number): number {
  assert(x > 0, `logGamma of ${x}`)
  let shifted = x
  let product = 1
  while (shifted < STIRLING_FROM) product *= shifted++
  const inverseSquare = 1 / (shifted * shifted)
  const series = STIRLING.reduceRight((sum, term) => sum * inverseSquare + term, 0) / shifted
  return (
    (shifted - 0.5) * Math.log(shifted) -
    shifted +
    Math.log(2 * Math.PI) / 2 +
    series -
    Math.log(product)
  )
}

/** ln Q(a, x), the upper tail of the gamma law; a > 0. */
export function logUpperGamma(a: number, x: number): number {
  assert(a > 0, `incomplete gamma with a = ${a}`)
  if (!(x > 0)) return 0
  const logScale = a * Math.log(x) - x - logGamma(a)
  if (x < a + 1) return Math.log1p(-Math.exp(logScale) * lowerGammaSeries(a, x))
  return logScale + Math.log(upperGammaFraction(a, x))
}

/** DLMF 8.11.4, without its prefactor. */
function lowerGammaSeries(a: number, x: number): number {
  let term = 1 / a
  let sum = term
  for (let k = 1; k < TERMS_MAX && term > sum * PRECISION; k++) {
    term *= x / (a + k)
    sum += term
  }
  return sum
}

/** DLMF 8.9.2 in its even part, by the method of Lentz, without its prefactor. */
function upperGammaFraction(a: number, x: number): number {
  let b = x + 1 - a
  let c = 1 / TINY
  let d = 1 / b
  let h = d
  for (let k = 1; k < TERMS_MAX; k++) {
    const numerator = -k * (k - a)
    b += 2
    d = 1 / nonZero(numerator * d + b)
    c = nonZero(b + numerator / c)
    h *= d * c
    if (Math.abs(d * c - 1) < PRECISION) break
  }
  return h
}

const nonZero = (value: number): number => (Math.abs(value) < TINY ? TINY : value)

/** I_x(a, b), the distribution function of the beta law; a, b > 0 and x in [0, 1]. */
export function regularizedBeta(x: number, a: number, b: number): number {
  assert(a > 0 && b > 0, `incomplete beta with a = ${a}, b = ${b}`)
  if (!(x > 0)) return 0
  if (x >= 1) return 1
  const logScale =
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)
  // The fraction converges fast on this side of the mean only (DLMF 8.17.4 swaps the sides).
  if (x < (a + 1) / (a + b + 2)) return (Math.exp(logScale) * betaFraction(x, a, b)) / a
  return 1 - (Math.exp(logScale) * betaFraction(1 - x, b, a)) / b
}

/** DLMF 8.17.22, by the method of Lentz. */
function betaFraction(x: number, a: number, b: number): number {
  let c = 1
  let d = 1 / nonZero(1 - ((a + b) * x) / (a + 1))
  let h = d
  for (let m = 1; m < TERMS_MAX; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 / nonZero(1 + even * d)
    c = nonZero(1 + even / c)
    h *= d * c
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 / nonZero(1 + odd * d)
    c = nonZero(1 + odd / c)
    h *= d * c
    if (Math.abs(d * c - 1) < PRECISION) break
  }
  return h
}

/** ln P(chi-square with `dof` degrees of freedom >= value); 0 when dof is 0. */
export function chiSquareLogTail(value: number, dof: number): number {
  return dof > 0 ? logUpperGamma(dof / 2, value / 2) : 0
}

/** The value that chi-square exceeds with probability `tail` in (0, 1]. */
export function chiSquareQuantile(tail: number, dof: number): number {
  assert(tail > 0 && tail <= 1, `no chi-square quantile at ${tail}`)
  const logTail = Math.log(tail)
  let high = dof + 1
  while (chiSquareLogTail(high, dof) > logTail) high *= 2
  return bisect(0, high, (value) => chiSquareLogTail(value, dof) <= logTail)
}

/** The point in [low, high] where `isAbove` turns from false to true, to the last bit but one. */
export function bisect(low: number, high: number, isAbove: (x: number) => boolean): number {
  let below = low
  let above = high
  for (let step = 0; step < 200; step++) {
    const middle = (below + above) / 2
    if (middle <= below || middle >= above) break
    if (isAbove(middle)) above = middle
    else below = middle
  }
  return above
}
