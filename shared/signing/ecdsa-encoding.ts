/**
 * The two forms of a P-256 signature: DER (TUF, OpenSSL) and the raw 64 bytes r || s (WebCrypto,
 * JOSE). Strict: one DER form for each signature, as X.690 clause 10 has it.
 */
import { concatBytes } from '../kernel/bytes.ts'

const SEQUENCE = 0x30
const INTEGER = 0x02

/** @returns undefined unless `der` is a DER SEQUENCE of two INTEGERs in [1, 2^256). */
export function ecdsaRawFromDer(der: Uint8Array): Uint8Array | undefined {
  if (der.length < 8 || der.length > 72 || der[0] !== SEQUENCE) return undefined
  if (der[1] !== der.length - 2) return undefined
  const r = readInteger(der, 2)
  if (r === undefined) return undefined
  const s = readInteger(der, r.end)
  if (s === undefined || s.end !== der.length) return undefined
  return concatBytes(r.value, s.value)
}

function readInteger(
  der: Uint8Array,
  start: number,
): { value: Uint8Array; end: number } | undefined {
  const length = der[start + 1] ?? 0
  const end = start + 2 + length
  if (der[start] !== INTEGER || length === 0 || length > 33 || end > der.length) return undefined
  const digits = der.subarray(start + 2, end)
  const first = digits[0]!
  const padded = first === 0
  if (first >= 0x80 || (padded && (length === 1 || digits[1]! < 0x80))) return undefined
  const magnitude = padded ? digits.subarray(1) : digits
  if (magnitude.length > 32) return undefined
  const value = new Uint8Array(32)
  value.set(magnitude, 32 - magnitude.length)
  return { value, end }
}

/** @returns undefined unless `raw` has 64 bytes. */
export function ecdsaDerFromRaw(raw: Uint8Array): Uint8Array | undefined {
  if (raw.length !== 64) return undefined
  const body = concatBytes(integer(raw.subarray(0, 32)), integer(raw.subarray(32)))
  return concatBytes(Uint8Array.of(SEQUENCE, body.length), body)
}

function integer(value: Uint8Array): Uint8Array {
  let start = 0
  while (start < value.length - 1 && value[start] === 0) start += 1
  const magnitude = value.subarray(start)
  const padding = magnitude[0]! >= 0x80 ? [0] : []
  return Uint8Array.of(INTEGER, padding.length + magnitude.length, ...padding, ...magnitude)
}
