/** Counts in aggregate: binomial and Poisson draws, and the normal tail. Seeded and bounded. */
import type { Prng } from '../../shared/kernel/prng.ts'

/** Below this expected count the draw is exact (waiting times); above, a rounded normal. */
const EXACT_MEAN_MAX = 30

/** Successes among n trials of probability p. */
export function drawBinomial(prng: Prng, n: number, p: number): number {
  if (n <= 0 || p <= 0) return 0
  if (p >= 1) return n
  if (p > 0.5) return n - drawBinomial(prng, n, 1 - p)
  const mean = n * p
  if (mean > EXACT_MEAN_MAX) {
    const drawn = Math.round(mean + Math.sqrt(mean * (1 - p)) * prng.normal())
    return Math.min(n, Math.max(0, drawn))
  }
  // Gaps between successes are geometric (Devroye 1986, X.4.3): as many draws as successes.
  const logMiss = Math.log1p(-p)
  let trials = 0
  let successes = 0
  for (;;) {
    trials += Math.floor(Math.log(1 - prng.unit()) / logMiss) + 1
    if (trials > n) return successes
    successes += 1
  }
}

/** Events of a Poisson process with this mean. */
export function drawPoisson(prng: Prng, mean: number): number {
  if (mean <= 0) return 0
  if (mean > EXACT_MEAN_MAX) {
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * prng.normal()))
  }
  let count = 0
  for (let time = prng.exponential(1); time <= mean; time += prng.exponential(1)) count += 1
  return count
}

/**
 * P(Z > z) for a standard normal Z; Abramowitz and Stegun 26.2.17, absolute error below 7.5e-8.
 */
export function standardNormalTail(z: number): number {
  if (z < 0) return 1 - standardNormalTail(-z)
  const t = 1 / (1 + 0.2316419 * z)
  const poly =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * poly
}
