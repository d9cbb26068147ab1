/**
 * What every Ed25519 verifier must answer, whatever library is behind it: the vectors of RFC 8032
 * clause 7.1, and `false`, never an exception, for everything else.
 */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex } from '../../shared/kernel/bytes.ts'
import { ed25519Key, type PublicKey, type Verifier } from '../../shared/signing/keys.ts'

interface Vector {
  readonly name: string
  readonly seed: string
  readonly publicKey: string
  readonly message: string
  readonly signature: string
}

export const rfc8032Vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('../fixtures/signing/rfc8032.json', import.meta.url), 'utf8'),
)

export function bytesOf(hex: string): Uint8Array {
  const bytes = fromHex(hex)
  if (bytes === undefined) throw new Error(`not hex: ${hex.slice(0, 40)}`)
  return bytes
}

export function describeVerifier(name: string, verifier: Verifier): void {
  const first = rfc8032Vectors[1]!
  const key = ed25519Key(first.publicKey)
  const message = bytesOf(first.message)
  const signature = bytesOf(first.signature)

  describe(`${name} as an Ed25519 verifier`, () => {
    it.each(rfc8032Vectors)('accepts RFC 8032 $name', async (vector) => {
      const publicKey = ed25519Key(vector.publicKey)
      const verdict = verifier.verify(publicKey, bytesOf(vector.message), bytesOf(vector.signature))
      expect(await verdict).toBe(true)
    })

    it.each(rfc8032Vectors)('refuses RFC 8032 $name with one bit changed', async (vector) => {
      const changed = bytesOf(vector.signature)
      changed[5]! ^= 1
      const publicKey = ed25519Key(vector.publicKey)
      expect(await verifier.verify(publicKey, bytesOf(vector.message), changed)).toBe(false)
    })

    it('refuses the second signature that S + L would make (RFC 8032 clause 5.1.7)', async () => {
      expect(await verifier.verify(key, message, plusOrder(signature))).toBe(false)
    })

    it('refuses the key of somebody else', async () => {
      const other = ed25519Key(rfc8032Vectors[0]!.publicKey)
      expect(await verifier.verify(other, message, signature)).toBe(false)
    })

    it.each<[string, PublicKey]>([
      ['an empty key', { ...key, keyval: { public: '' } }],
      ['a short key', { ...key, keyval: { public: first.publicKey.slice(2) } }],
      ['a long key', { ...key, keyval: { public: `${first.publicKey}00` } }],
      ['letters that are not hex', { ...key, keyval: { public: 'zz'.repeat(32) } }],
      ['a PEM that is none', { ...key, keyval: { public: '-----BEGIN PUBLIC KEY-----' } }],
      ['another key type', { ...key, keytype: 'rsa' }],
      ['another scheme', { ...key, scheme: 'ecdsa-sha2-nistp256' }],
      ['an unknown scheme', { ...key, scheme: 'none' }],
      ['a scheme from the prototype', { ...key, scheme: '__proto__', keytype: 'constructor' }],
    ])('answers false to %s', async (_, malformed) => {
      expect(await verifier.verify(malformed, message, signature)).toBe(false)
    })

    it('answers false to signatures of every other length', async () => {
      for (let length = 0; length <= 130; length++) {
        if (length === 64) continue
        const wrong = new Uint8Array(length)
        wrong.set(signature.subarray(0, length))
        expect(await verifier.verify(key, message, wrong)).toBe(false)
      }
    })

    it('answers false to arbitrary keys and signatures, and never throws', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.record({ keytype: fc.string(), scheme: fc.string(), public: fc.string() }),
          fc.uint8Array({ maxLength: 80 }),
          async ({ keytype, scheme, public: text }, bytes) => {
            const arbitrary = { keytype, scheme, keyval: { public: text } }
            expect(await verifier.verify(arbitrary, message, bytes)).toBe(false)
            expect(await verifier.verify(key, message, bytes)).toBe(false)
          },
        ),
        { numRuns: 100 },
      )
    })
  })
}

/** The same signature with L added to S: it satisfies the curve equation but is not canonical. */
function plusOrder(signature: Uint8Array): Uint8Array {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const changed = signature.slice()
  let s = order
  for (let i = 0; i < 32; i++) s += BigInt(signature[32 + i]!) << BigInt(8 * i)
  for (let i = 0; i < 32; i++) changed[32 + i] = Number((s >> BigInt(8 * i)) & 0xffn)
  return changed
}
