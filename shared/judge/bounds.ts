/**
 * How far a counted share can be trusted, at one look. Shares: the exact binomial bounds of Clopper
 * and Pearson (1934). Differences of two shares: score intervals combined after Newcombe (1998,
 * method 10), whose one-sided error stays close to the nominal one from about 20 of each on.
 *
 * Not valid under continuous monitoring: whoever looks at each tick and stops at the first breach
 * errs more often than `alpha`, when the true share lies near the limit. The sequential tests take
 * this place.
 */
import { bisect, chiSquareQuantile, regularizedBeta } from '../drift/special-functions.ts'

/** `bad` of `n` trials. */
export interface Share {
  readonly n: number
  readonly bad: number
}

/** P(at least `bad` of `n`) when each is bad with probability `rate`; falls as `rate` falls. */
export function chanceOfAtLeast({ n, bad }: Share, rate: number): number {
  return bad <= 0 ? 1 : regularizedBeta(rate, bad, n - bad + 1)
}

/** P(at most `bad` of `n`) when each is bad with probability `rate`. */
export function chanceOfAtMost({ n, bad }: Share, rate: number): number {
  return bad >= n ? 1 : regularizedBeta(1 - rate, n - bad, bad + 1)
}

/** The true share is above this, or a chance of at most `alpha` came true. */
export function lowerBound(share: Share, alpha: number): number {
  if (share.bad <= 0) return 0
  return bisect(0, 1, (rate) => chanceOfAtLeast(share, rate) > alpha)
}

/** The true share is below this, or a chance of at most `alpha` came true; 1 without data. */
export function upperBound(share: Share, alpha: number): number {
  if (share.bad >= share.n) return 1
  return bisect(0, 1, (rate) => chanceOfAtMost(share, rate) <= alpha)
}

/** One-sided bounds of `share(candidate) - share(baseline)`; `z` of each side by `oneSidedZ`. */
export function differenceBounds(
  candidate: Share,
  baseline: Share,
  z: { lower: number; upper: number },
): { lower: number; upper: number } {
  if (candidate.n === 0 || baseline.n === 0) return { lower: -1, upper: 1 }
  const p = candidate.bad / candidate.n
  const q = baseline.bad / baseline.n
  const at = (zOfSide: number) => ({
    candidate: scoreInterval(candidate, zOfSide),
    baseline: scoreInterval(baseline, zOfSide),
  })
  const low = at(z.lower)
  const high = at(z.upper)
  return {
    lower: p - q - Math.hypot(p - low.candidate.lower, low.baseline.upper - q),
    upper: p - q + Math.hypot(high.candidate.upper - p, q - high.baseline.lower),
  }
}

/** z with P(N(0,1) > z) = alpha, for alpha up to 1/2: chi-square of one degree is z squared. */
export function oneSidedZ(alpha: number): number {
  return Math.sqrt(chiSquareQuantile(2 * alpha, 1))
}

/** Wilson (1927). */
function scoreInterval({ n, bad }: Share, z: number): { lower: number; upper: number } {
  const share = bad / n
  const spread = z * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n))
  const centre = share + (z * z) / (2 * n)
  const scale = 1 + (z * z) / n
  return { lower: (centre - spread) / scale, upper: (centre + spread) / scale }
}
