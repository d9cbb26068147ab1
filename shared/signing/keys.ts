/**
 * Keys, signatures and envelopes in the form of TUF 1.0 (clause 4.2), and the ports that verify and
 * sign. Verification is data: code that checks something yields `VerifyEffect`s and a driver
 * answers them, at once (Node, plain JavaScript) or later (WebCrypto has only promises). A verifier never
 * throws: malformed keys and signatures are simply not valid.
 */
import { assert } from '../kernel/assert.ts'
import { toHex } from '../kernel/bytes.ts'
import { sha256Hex } from '../kernel/sha256.ts'
import { canonicalBytes, type Json } from './canonical-json.ts'

/** Signature schemes we verify; anything else never verifies. */
export type Scheme = 'ed25519' | 'ecdsa-sha2-nistp256' | 'rsassa-pss-sha256'

/** A TUF key. `public` is 64 hex digits for ed25519, else a PEM SubjectPublicKeyInfo. */
export interface PublicKey {
  readonly keytype: string
  readonly scheme: string
  readonly keyval: { readonly public: string }
}

/** `sig` is hex: 64 bytes for ed25519, DER for ECDSA, modulus length for RSA. */
export interface Signature {
  readonly keyid: string
  readonly sig: string
}

/** `signed` is signed in its canonical form. */
export interface Envelope<T = Json> {
  readonly signed: T
  readonly signatures: readonly Signature[]
}

export interface Verifier {
  verify(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean | Promise<boolean>
}
export interface SyncVerifier extends Verifier {
  verify(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean
}

export interface Signer {
  readonly key: PublicKey
  sign(message: Uint8Array): Uint8Array | Promise<Uint8Array>
}
export interface SyncSigner extends Signer {
  sign(message: Uint8Array): Uint8Array
}

export interface VerifyEffect {
  readonly kind: 'verify'
  readonly key: PublicKey
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

/** A check under way: yields what must be verified, takes the answers, returns the outcome. */
export type Checking<T> = Generator<VerifyEffect, T, boolean>

export function checkSync<T>(checking: Checking<T>, verifier: SyncVerifier): T {
  let step = checking.next()
  while (!step.done) {
    const { key, message, signature } = step.value
    step = checking.next(verifier.verify(key, message, signature))
  }
  return step.value
}

export async function checkAsync<T>(checking: Checking<T>, verifier: Verifier): Promise<T> {
  let step = checking.next()
  while (!step.done) {
    const { key, message, signature } = step.value
    step = checking.next(await verifier.verify(key, message, signature))
  }
  return step.value
}

/** Verifies one signature inside a check. */
export function* verified(
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): Checking<boolean> {
  return yield { kind: 'verify', key, message, signature }
}

/** TUF clause 4.2: SHA-256 of the key's canonical form, hex. Also a device's fingerprint. */
export function keyId(key: PublicKey): string {
  const { keytype, scheme, keyval } = key
  const bytes = canonicalBytes({ keytype, keyval: { public: keyval.public }, scheme })
  assert(bytes.ok, 'a key is made of strings')
  return sha256Hex(bytes.value)
}

/** X.690 head of a SubjectPublicKeyInfo with an uncompressed point of P-256. */
const P256_SPKI_PREFIX = '3059301306072a8648ce3d020106082a8648ce3d030107034200'
const PEM = /-+BEGINPUBLICKEY-+([A-Za-z0-9+/]+)=*-+ENDPUBLICKEY-+/

/**
 * What tells keys apart when a threshold is counted: the key itself, however it is written. PEM is
 * spaced and padded in many ways, and a P-256 key may be PEM or the bare point.
 */
export function keyIdentity(key: PublicKey): string {
  const text = key.keyval.public.replaceAll(/\s/g, '')
  const base64 = PEM.exec(text)?.[1]
  if (base64 === undefined || base64.length % 4 === 1) return text
  // Whatever bits the last letter has too many, they are no part of the key.
  const hex = toHex(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)))
  return hex.startsWith(P256_SPKI_PREFIX) ? hex.slice(P256_SPKI_PREFIX.length) : hex
}

/** The public half of an Ed25519 key as a TUF key; `publicHex` is 32 bytes in lower-case hex. */
export function ed25519Key(publicHex: string): PublicKey {
  assert(/^[0-9a-f]{64}$/.test(publicHex), 'an Ed25519 public key has 32 bytes')
  return { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: publicHex } }
}

/** Continues with a value that may still be a promise, so that signing has one code path. */
export function after<T, U>(value: T | Promise<T>, next: (value: T) => U): U | Promise<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}
