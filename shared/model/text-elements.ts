/**
 * The elements of a BYTES tensor as one run of bytes: each string with its length in 4 bytes,
 * little-endian, before it (Open Inference Protocol v2, binary tensor data extension).
 */
import { concatBytes, fromUtf8, utf8 } from '../kernel/bytes.ts'

export function bytesOfStrings(strings: readonly string[]): Uint8Array {
  const parts = strings.flatMap((text) => {
    const bytes = utf8(text)
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, bytes.length, true)
    return [length, bytes]
  })
  return concatBytes(...parts)
}

/** What was wrong with bytes that should have been strings. */
export interface NotStrings {
  readonly expected: string
  readonly found: string
}

/** Exactly `count` strings and nothing behind them. Takes time linear in the bytes. */
export function stringsOf(bytes: Uint8Array, count: number): readonly string[] | NotStrings {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const strings: string[] = []
  let at = 0
  while (at < bytes.length && strings.length < count) {
    if (at + 4 > bytes.length) return { expected: 'a length of 4 bytes', found: 'fewer' }
    const length = view.getUint32(at, true)
    at += 4
    const text = at + length <= bytes.length ? fromUtf8(bytes.subarray(at, at + length)) : undefined
    if (text === undefined) {
      const found = `element ${strings.length} of ${length} bytes`
      return { expected: 'whole strings in UTF-8', found }
    }
    strings.push(text)
    at += length
  }
  if (strings.length === count && at === bytes.length) return strings
  const found = `${strings.length} in ${at} of ${bytes.length} bytes`
  return { expected: `${count} strings`, found }
}
