/**
 * Sine, exponential and normal noise from additions and multiplications only. ECMAScript lets engines
 * differ in the last bits of Math.sin and Math.exp; IEEE 754 does not for + and *, so what is
 * computed here, and every model trained on it, is the same to the byte on every machine.
 */

/** Something that gives integers in [0, 2^32), such as the kernel's Prng. */
export interface RandomSource {
  u32(): number
}

/** sin(2 pi turns), absolute error below 1e-9. */
export function sineOfTurns(turns: number): number {
  // Fold into a quarter turn, where the Taylor series to x^15 converges quickly.
  let t = turns - Math.floor(turns)
  let sign = 1
  if (t >= 0.5) {
    t -= 0.5
    sign = -1
  }
  if (t > 0.25) t = 0.5 - t
  const x = t * 6.283185307179586
  const s = x * x
  let sum = 1
  for (let k = 7; k >= 1; k--) sum = 1 - (s / (2 * k * (2 * k + 1))) * sum
  return sign * x * sum
}

/** e^x for x in [-700, 700], relative error below 1e-14; 0 below, Infinity above. */
export function exponential(x: number): number {
  if (x < -700) return 0
  if (x > 700) return Number.POSITIVE_INFINITY
  // e^x = 2^k e^r with |r| <= ln(2) / 2; the scaling by powers of two is exact.
  const k = Math.round(x / Math.LN2)
  const r = x - k * 0.6931471803691238 - k * 1.9082149292705877e-10
  let sum = 1
  for (let n = 14; n >= 1; n--) sum = 1 + (r / n) * sum
  let scaled = sum
  const step = k < 0 ? 0.5 : 2
  for (let n = k < 0 ? -k : k; n > 0; n--) scaled *= step
  return scaled
}

/** Close to standard normal: the sum of 12 uniforms less 6 (Irwin-Hall), so at most 6 in size. */
export function normalNoise(random: RandomSource): number {
  let sum = 0
  for (let i = 0; i < 6; i++) {
    const pair = random.u32()
    sum += (pair & 0xffff) + (pair >>> 16)
  }
  return (sum + 6) / 65_536 - 6
}

/** Uniform in [low, high). */
export function uniform(random: RandomSource, low: number, high: number): number {
  return low + (high - low) * (random.u32() / 4_294_967_296)
}
