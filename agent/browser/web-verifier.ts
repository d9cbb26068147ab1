/**
 * Signature schemes with WebCrypto, as in Node, and plain JavaScript for Ed25519 where WebCrypto has
 * none or the page has no secure context. Invariant: never throws; what cannot be a key or a signature is not valid, and
 * the verdicts are those of the other verifiers (the same contract holds all).
 */
import { fromBase64, fromHex } from '../../shared/kernel/bytes.ts'
import { ecdsaRawFromDer } from '../../shared/signing/ecdsa-encoding.ts'
import { ed25519PublicBytes, isEd25519Signature } from '../../shared/signing/ed25519-encoding.ts'
import type { PublicKey, Verifier } from '../../shared/signing/keys.ts'
import { nobleVerifier } from '../../shared/signing/verifier-noble.ts'

type Bytes = Uint8Array<ArrayBuffer>

const PEM_CHARS_MAX = 8_192
const RSA_MODULUS_BITS = { min: 2_048, max: 4_096 }
/** Usual is 65,537; one as long as the modulus makes a check cost a hundred times as much. */
const RSA_EXPONENT_BYTES_MAX = 4
const UNCOMPRESSED_POINT = 0x04

export const webVerifier: Verifier = {
  async verify(key, message, signature) {
    try {
      if (globalThis.crypto?.subtle === undefined) {
        return nobleVerifier.verify(key, message, signature)
      }
      return await verifyWith(key, own(message), own(signature))
    } catch {
      return false
    }
  },
}

/** WebCrypto's types want bytes that are not shared with another thread. */
const own = (bytes: Uint8Array): Bytes => bytes as Bytes

async function verifyWith(key: PublicKey, message: Bytes, signature: Bytes): Promise<boolean> {
  switch (key.scheme) {
    case 'ed25519':
      return verifyEd25519(key, message, signature)
    case 'ecdsa-sha2-nistp256':
      return verifyEcdsa(key, message, signature)
    case 'rsassa-pss-sha256':
      return verifyPss(key, message, signature)
    case 'rsa-pkcs1v15-sha256':
      return verifyPkcs1(key, message, signature)
    default:
      return false
  }
}

async function verifyEd25519(key: PublicKey, message: Bytes, signature: Bytes): Promise<boolean> {
  const raw = ed25519PublicBytes(key)
  if (raw === undefined || !isEd25519Signature(signature)) return false
  const imported = await crypto.subtle
    .importKey('raw', own(raw), 'Ed25519', false, ['verify'])
    .catch(() => undefined)
  if (imported === undefined) return nobleVerifier.verify(key, message, signature)
  return crypto.subtle.verify('Ed25519', imported, signature, message)
}

/** WebCrypto wants the two numbers one after the other, TUF gives DER. */
async function verifyEcdsa(key: PublicKey, message: Bytes, signature: Bytes): Promise<boolean> {
  const raw = ecdsaRawFromDer(signature)
  const isNamed = key.keytype === 'ecdsa' || key.keytype === 'ecdsa-sha2-nistp256'
  if (raw === undefined || !isNamed) return false
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  const point = key.keyval.public.length === 130 ? fromHex(key.keyval.public) : undefined
  const imported =
    point?.[0] === UNCOMPRESSED_POINT
      ? await crypto.subtle.importKey('raw', own(point), algorithm, false, ['verify'])
      : await crypto.subtle.importKey('spki', spkiOf(key), algorithm, false, ['verify'])
  return crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, imported, own(raw), message)
}

/** Salt of the digest's length, else the longest: WebCrypto wants to be told which. */
async function verifyPss(key: PublicKey, message: Bytes, signature: Bytes): Promise<boolean> {
  const rsa = await importRsa(key, 'RSA-PSS')
  if (rsa === undefined) return false
  for (const saltLength of [32, Math.ceil((rsa.bits - 1) / 8) - 34]) {
    const parameters = { name: 'RSA-PSS', saltLength }
    if (await crypto.subtle.verify(parameters, rsa.key, signature, message)) return true
  }
  return false
}

/** Not of ours: repositories of others may sign so. */
async function verifyPkcs1(key: PublicKey, message: Bytes, signature: Bytes): Promise<boolean> {
  const rsa = await importRsa(key, 'RSASSA-PKCS1-v1_5')
  return rsa !== undefined && crypto.subtle.verify(rsa.key.algorithm, rsa.key, signature, message)
}

async function importRsa(
  key: PublicKey,
  name: 'RSA-PSS' | 'RSASSA-PKCS1-v1_5',
): Promise<{ key: CryptoKey; bits: number } | undefined> {
  if (key.keytype !== 'rsa') return undefined
  const algorithm = { name, hash: 'SHA-256' }
  const imported = await crypto.subtle.importKey('spki', spkiOf(key), algorithm, false, ['verify'])
  const { modulusLength: bits, publicExponent } = imported.algorithm as RsaKeyAlgorithm
  if (bits < RSA_MODULUS_BITS.min || bits > RSA_MODULUS_BITS.max) return undefined
  if (publicExponent.length > RSA_EXPONENT_BYTES_MAX) return undefined
  return { key: imported, bits }
}

/** The DER inside a PEM SubjectPublicKeyInfo; throws what is none. */
function spkiOf({ keyval }: PublicKey): Bytes {
  const pem = /^-----BEGIN PUBLIC KEY-----([\s\S]+)-----END PUBLIC KEY-----$/
  const text = keyval.public.length > PEM_CHARS_MAX ? '' : keyval.public.trim()
  const der = fromBase64((pem.exec(text)?.[1] ?? '').replaceAll(/\s/g, ''))
  if (der === undefined || der.length === 0) throw new TypeError('no PEM public key')
  return own(der)
}
