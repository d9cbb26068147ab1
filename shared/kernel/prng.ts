/**
 * Seeded randomness (xoshiro128**, Blackman and Vigna 2018), splittable by label: a stream split off
 * for one device does not change when another device is added. Not for keys or tokens.
 */
import { sha256 } from './sha256.ts'

export interface Prng {
  /** An integer in [0, 2^32). */
  u32(): number
  /** Uniform in [0, 1), 53 bits. */
  unit(): number
  /** An integer in [0, bound), bound in [1, 2^32]. */
  below(bound: number): number
  /** True with the given probability. */
  chance(probability: number): boolean
  /** Standard normal (Box-Muller). */
  normal(): number
  /** Exponential with the given mean. */
  exponential(mean: number): number
  /** One element of a non-empty list. */
  pick<T>(items: readonly T[]): T
  /** An independent stream named by `label`; does not advance this one. */
  split(label: string): Prng
}

const rotl = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0

export function createPrng(seed: string | number): Prng {
  const digest = sha256(`prng:${seed}`)
  const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength)
  let a = view.getUint32(0)
  let b = view.getUint32(4)
  let c = view.getUint32(8)
  let d = view.getUint32(12) | 1

  function u32(): number {
    const result = Math.imul(rotl(Math.imul(b, 5) >>> 0, 7), 9) >>> 0
    const t = (b << 9) >>> 0
    c = (c ^ a) >>> 0
    d = (d ^ b) >>> 0
    b = (b ^ c) >>> 0
    a = (a ^ d) >>> 0
    c = (c ^ t) >>> 0
    d = rotl(d, 11)
    return result
  }
  const unit = (): number => ((u32() >>> 5) * 2 ** 26 + (u32() >>> 6)) / 2 ** 53

  const prng: Prng = {
    u32,
    unit,
    below: (bound) => Math.floor(unit() * bound),
    chance: (probability) => unit() < probability,
    normal: () => Math.sqrt(-2 * Math.log(1 - unit())) * Math.cos(2 * Math.PI * unit()),
    exponential: (mean) => -mean * Math.log(1 - unit()),
    pick: (items) => items[prng.below(items.length)]!,
    split: (label) => createPrng(`${seed}/${label}`),
  }
  return prng
}
