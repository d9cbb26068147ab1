/**
 * Unsigned LEB128 numbers up to 2^53 - 1, in their shortest form only. Bit operations stop at 32
 * bits, hence the divisions.
 */
import { assert } from '../kernel/assert.ts'

/** Appends `value`, a safe whole number of at least 0: one byte for each 7 bits. */
export function pushVarint(bytes: number[], value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, `no varint for ${value}`)
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) + 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
}

/** Bytes that `pushVarint` would append. */
export function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++
  return length
}

/** Reads bytes one after the other; made for each row of each window, so it holds no closures. */
export class ByteReader {
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, start: number) {
    this.#bytes = bytes
    this.#at = start
  }

  atEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  /** The next byte; 0 at the end. */
  byte(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  /** @returns undefined when cut short, longer than needed or above 2^53 - 1. */
  varint(): number | undefined {
    let value = 0
    let weight = 1
    while (!this.atEnd()) {
      const next = this.byte()
      value += (next % 0x80) * weight
      if (value > Number.MAX_SAFE_INTEGER) return undefined
      if (next < 0x80) return next === 0 && weight > 1 ? undefined : value
      weight *= 0x80
      if (weight > 2 ** 53) return undefined
    }
    return undefined
  }
}
