/** Base64url without padding (RFC 4648 clause 5), canonical only: one text for each byte string. */
import { fromBase64, toBase64 } from '../kernel/bytes.ts'

export function toBase64url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

export function fromBase64url(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return undefined
  const padded = text + '='.repeat((4 - (text.length % 4)) % 4)
  return fromBase64(padded.replaceAll('-', '+').replaceAll('_', '/'))
}
