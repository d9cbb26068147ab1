/**
 * Signature schemes with node:crypto: the three that we sign with, and PKCS #1 v1.5 for
 * repositories of others. Invariant: never throws; what cannot be a key or a signature is not
 * valid. Parsed keys are kept (bounded; the oldest goes), since parsing costs more than verifying
 * Ed25519.
 */
import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { fromHex } from '../kernel/bytes.ts'
import { ecdsaRawFromDer } from '../signing/ecdsa-encoding.ts'
import { ed25519PublicBytes, isEd25519Signature } from '../signing/ed25519-encoding.ts'
import type { PublicKey, SyncVerifier } from '../signing/keys.ts'

const KEYS_MAX = 4_096
const PEM_CHARS_MAX = 8_192
const RSA_MODULUS_BITS_MIN = 2_048
const RSA_MODULUS_BITS_MAX = 4_096
/** Usual is 65,537; one as long as the modulus makes a check cost a hundred times as much. */
const RSA_EXPONENT_MAX = 2n ** 32n
const ED25519_SPKI_PREFIX = fromHex('302a300506032b6570032100')!
const P256_SPKI_PREFIX = fromHex('3059301306072a8648ce3d020106082a8648ce3d030107034200')!
const UNCOMPRESSED_POINT = 0x04

const parsedKeys = new Map<string, KeyObject | undefined>()

export const nodeVerifier: SyncVerifier = {
  verify(key, message, signature) {
    const parsed = parsedKey(key)
    if (parsed === undefined) return false
    try {
      return verifyWith(key.scheme, parsed, message, signature)
    } catch {
      return false
    }
  },
}

function verifyWith(
  scheme: string,
  key: KeyObject,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  switch (scheme) {
    case 'ed25519':
      return isEd25519Signature(signature) && verify(null, message, key, signature)
    case 'ecdsa-sha2-nistp256': {
      const raw = ecdsaRawFromDer(signature)
      if (raw === undefined) return false
      return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, raw)
    }
    case 'rsassa-pss-sha256':
      return verifyPss(key, message, signature)
    case 'rsa-pkcs1v15-sha256':
      return verify('sha256', message, { key, padding: constants.RSA_PKCS1_PADDING }, signature)
    default:
      return false
  }
}

/**
 * Salt of the digest's length, else the longest: what signers use, and what WebCrypto can check.
 */
function verifyPss(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  const saltBytesMax = Math.ceil((bits - 1) / 8) - 34
  const padding = constants.RSA_PKCS1_PSS_PADDING
  return [32, saltBytesMax].some((saltLength) =>
    verify('sha256', message, { key, padding, saltLength }, signature),
  )
}

function parsedKey(key: PublicKey): KeyObject | undefined {
  const name = `${key.keytype}\n${key.scheme}\n${key.keyval.public}`
  if (key.keyval.public.length > PEM_CHARS_MAX) return undefined
  if (parsedKeys.has(name)) return parsedKeys.get(name)
  const parsed = parseKey(key)
  const oldest = parsedKeys.keys().next()
  if (parsedKeys.size >= KEYS_MAX && !oldest.done) parsedKeys.delete(oldest.value)
  parsedKeys.set(name, parsed)
  return parsed
}

function parseKey(key: PublicKey): KeyObject | undefined {
  try {
    if (key.scheme === 'ed25519') {
      const raw = ed25519PublicBytes(key)
      if (raw === undefined) return undefined
      const spki = Buffer.concat([ED25519_SPKI_PREFIX, raw])
      return createPublicKey({ key: spki, format: 'der', type: 'spki' })
    }
    const parsed = parseSpki(key.keyval.public)
    return parsed !== undefined && suits(key, parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}

/** PEM; older repositories also give P-256 keys as an uncompressed point in hex. */
function parseSpki(text: string): KeyObject | undefined {
  if (text.trimStart().startsWith('-----BEGIN PUBLIC KEY-----')) return createPublicKey(text)
  const point = text.length === 130 ? fromHex(text) : undefined
  if (point === undefined || point[0] !== UNCOMPRESSED_POINT) return undefined
  const spki = Buffer.concat([P256_SPKI_PREFIX, point])
  return createPublicKey({ key: spki, format: 'der', type: 'spki' })
}

/** Older repositories name the key type after the scheme. */
function suits({ keytype, scheme }: PublicKey, key: KeyObject): boolean {
  const details = key.asymmetricKeyDetails
  if (scheme === 'ecdsa-sha2-nistp256') {
    const named = keytype === 'ecdsa' || keytype === 'ecdsa-sha2-nistp256'
    return named && key.asymmetricKeyType === 'ec' && details?.namedCurve === 'prime256v1'
  }
  if (scheme !== 'rsassa-pss-sha256' && scheme !== 'rsa-pkcs1v15-sha256') return false
  const bits = details?.modulusLength ?? 0
  const exponent = details?.publicExponent ?? 0n
  const sized =
    bits >= RSA_MODULUS_BITS_MIN && bits <= RSA_MODULUS_BITS_MAX && exponent <= RSA_EXPONENT_MAX
  return keytype === 'rsa' && key.asymmetricKeyType === 'rsa' && sized
}
