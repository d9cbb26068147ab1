/**
 * Stable choices: the same parts give the same number on every machine and in every release of
 * Linnet, so a restarted controller picks the same cohort.
 */
import { sha256 } from './sha256.ts'

/** Uniform in [0, 1) with 52 bits, from the parts in order; ('ab','c') and ('a','bc') differ. */
export function unitHash(...parts: readonly string[]): number {
  const digest = sha256(JSON.stringify(parts))
  let value = 0
  for (let i = 0; i < 6; i++) value = value * 256 + digest[i]!
  return (value * 16 + (digest[6]! >> 4)) / 2 ** 52
}
