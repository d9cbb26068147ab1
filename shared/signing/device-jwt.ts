/**
 * How a device proves to its controller that it is itself: a JWT (RFC 7519) made by the device key,
 * for one fleet and either its broker (the MQTT password) or its HTTP interface, never both; short
 * lived, usable once. Keys and algorithm come from what the controller has stored for the
 * device, never from the token. Remembering used `jti`s is left to `createReplayGuard`.
 */
import { fromUtf8, utf8 } from '../kernel/bytes.ts'
import { ok, type Result, refuse } from '../kernel/result.ts'
import { fromBase64url, toBase64url } from './base64url.ts'
import { isJsonObject, type JsonObject, member, parseJson } from './canonical-json.ts'
import { ecdsaDerFromRaw, ecdsaRawFromDer } from './ecdsa-encoding.ts'
import {
  after,
  type Checking,
  keyId,
  type PublicKey,
  type Signer,
  type SyncSigner,
  verified,
} from './keys.ts'

export const DEVICE_JWT_LIFETIME_MS_MAX = 300_000
const DEVICE_JWT_CHARS_MAX = 2_048
const CLOCK_SKEW_MS_MAX = 60_000
const LIMITS = { bytesMax: DEVICE_JWT_CHARS_MAX, depthMax: 2, valuesMax: 32 }

/** Where a token is good. */
export type JwtUse = 'mqtt' | 'http'

function audienceOf(fleet: string, use: JwtUse): string {
  return `linnet:${fleet}:${use}`
}

export interface DeviceJwtClaims {
  readonly fleet: string
  readonly device: string
  /** Absent: `mqtt`. */
  readonly use?: JwtUse
  readonly nowMs: number
  /** At most `DEVICE_JWT_LIFETIME_MS_MAX`. */
  readonly lifetimeMs: number
  /** Random, at least 16 characters of [A-Za-z0-9_-]; never twice. */
  readonly jti: string
}

/** The token, or its promise if the signer has only promises. */
export function mintDeviceJwt(claims: DeviceJwtClaims, signer: SyncSigner): string
export function mintDeviceJwt(claims: DeviceJwtClaims, signer: Signer): string | Promise<string>
export function mintDeviceJwt(claims: DeviceJwtClaims, signer: Signer): string | Promise<string> {
  const issuedAt = Math.floor(claims.nowMs / 1000)
  const header = { alg: algorithmOf(signer.key) ?? 'none', typ: 'JWT', kid: keyId(signer.key) }
  const payload = {
    iss: claims.device,
    sub: claims.device,
    aud: audienceOf(claims.fleet, claims.use ?? 'mqtt'),
    iat: issuedAt,
    exp: issuedAt + Math.floor(claims.lifetimeMs / 1000),
    jti: claims.jti,
  }
  const input = `${encode(header)}.${encode(payload)}`
  return after(signer.sign(utf8(input)), (signature) => {
    const joseSignature = isEcdsa(signer.key) ? ecdsaRawFromDer(signature) : signature
    return `${input}.${toBase64url(joseSignature ?? signature)}`
  })
}

function encode(part: object): string {
  return toBase64url(utf8(JSON.stringify(part)))
}

/** RFC 8037 and RFC 7518 names for the two kinds of device keys. */
function algorithmOf(key: PublicKey): string | undefined {
  if (key.scheme === 'ed25519') return 'EdDSA'
  return isEcdsa(key) ? 'ES256' : undefined
}

function isEcdsa(key: PublicKey): boolean {
  return key.scheme === 'ecdsa-sha2-nistp256'
}

export interface DeviceJwtExpectation {
  readonly token: string
  /** The key stored for the device that the connection says it is. */
  readonly key: PublicKey
  readonly fleet: string
  readonly device: string
  /** Absent: `mqtt`. */
  readonly use?: JwtUse
  readonly nowMs: number
}

export interface DeviceJwt {
  readonly jti: string
  /** By the clock of the device, whole seconds. */
  readonly issuedAtMs: number
  readonly expiresAtMs: number
}

/**
 * Codes: `token.too_large`, `.malformed`, `.algorithm`, `.signature`, `.audience`, `.subject`,
 * `.lifetime`, `.not_yet_valid`, `.expired`. Replay is not seen here.
 */
export function* verifyDeviceJwt(expected: DeviceJwtExpectation): Checking<Result<DeviceJwt>> {
  const { token, key } = expected
  if (token.length > DEVICE_JWT_CHARS_MAX) {
    return refuse('token.too_large', 'The token is too long.', {
      expected: `at most ${DEVICE_JWT_CHARS_MAX} characters`,
      found: `${token.length}`,
    })
  }
  const [head, body, tail, ...rest] = token.split('.')
  const signature = tail === undefined ? undefined : fromBase64url(tail)
  if (head === undefined || body === undefined || signature === undefined || rest.length > 0) {
    return refuse('token.malformed', 'The token is not a JWT.')
  }
  const header = decode(head)
  const algorithm = header === undefined ? undefined : member(header, 'alg')
  const allowed = algorithmOf(key)
  if (allowed === undefined || algorithm !== allowed) {
    return refuse('token.algorithm', 'The token is not signed the way this device signs.', {
      expected: allowed ?? 'a device key',
      found: String(algorithm).slice(0, 32),
    })
  }
  const plain = isEcdsa(key) ? ecdsaDerFromRaw(signature) : signature
  if (plain === undefined || !(yield* verified(key, utf8(`${head}.${body}`), plain))) {
    return refuse('token.signature', 'The token is not signed by the key of this device.')
  }
  return checkClaims(decode(body), expected)
}

function decode(part: string): JsonObject | undefined {
  const bytes = fromBase64url(part)
  if (bytes === undefined || fromUtf8(bytes) === undefined) return undefined
  const parsed = parseJson(bytes, LIMITS)
  return parsed.ok && isJsonObject(parsed.value) ? parsed.value : undefined
}

function checkClaims(
  claims: JsonObject | undefined,
  { fleet, device, use = 'mqtt', nowMs }: DeviceJwtExpectation,
): Result<DeviceJwt> {
  if (claims === undefined) return refuse('token.malformed', 'The claims are not an object.')
  const iat = member(claims, 'iat')
  const exp = member(claims, 'exp')
  const jti = member(claims, 'jti')
  if (!Number.isSafeInteger(iat) || !Number.isSafeInteger(exp) || !isTokenId(jti)) {
    return refuse('token.malformed', 'The token lacks iat, exp or jti.')
  }
  const audience = member(claims, 'aud')
  if (audience !== audienceOf(fleet, use)) {
    return refuse('token.audience', 'The token is for another audience.', {
      expected: audienceOf(fleet, use),
      found: String(audience).slice(0, 128),
    })
  }
  if (member(claims, 'sub') !== device || member(claims, 'iss') !== device) {
    return refuse('token.subject', 'The token is for another device.', { expected: device })
  }
  const issuedAtMs = Number(iat) * 1000
  const expiresAtMs = Number(exp) * 1000
  if (expiresAtMs - issuedAtMs > DEVICE_JWT_LIFETIME_MS_MAX) {
    return refuse('token.lifetime', 'The token lives too long.', {
      expected: `at most ${DEVICE_JWT_LIFETIME_MS_MAX} ms`,
      found: `${expiresAtMs - issuedAtMs} ms`,
    })
  }
  if (issuedAtMs > nowMs + CLOCK_SKEW_MS_MAX) {
    return refuse('token.not_yet_valid', 'The token was made in the future.', {
      found: `${issuedAtMs - nowMs} ms ahead`,
      next: 'set the clock of the device',
    })
  }
  if (expiresAtMs > nowMs) return ok({ jti, issuedAtMs, expiresAtMs })
  return refuse('token.expired', 'The token has expired.', {
    found: `${nowMs - expiresAtMs} ms ago`,
    next: 'the device makes a new token; if it persists, set the clock of the device',
  })
}

function isTokenId(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{16,64}$/.test(value)
}
