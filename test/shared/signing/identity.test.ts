import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../../../shared/kernel/bytes.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import { generatePrivateKey, nodeSigner } from '../../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../../shared/node/verifier-node.ts'
import { fromBase64url, toBase64url } from '../../../shared/signing/base64url.ts'
import {
  type DeviceJwtClaims,
  type DeviceJwtExpectation,
  mintDeviceJwt,
  verifyDeviceJwt,
} from '../../../shared/signing/device-jwt.ts'
import { checkEnrolment, signEnrolment } from '../../../shared/signing/enrolment.ts'
import { envelopeBytes } from '../../../shared/signing/envelope.ts'
import { checkSync, keyId } from '../../../shared/signing/keys.ts'
import { createReplayGuard } from '../../../shared/signing/replay-guard.ts'
import { nowMs, signerNumber } from './build-assignment.ts'

const signer = signerNumber(3)
const request = {
  fleet: 'plant',
  device: 'motor-1',
  token: 'one-time',
  nonce: '00'.repeat(16),
  facts: {
    profile: 'edge-cpu',
    agentVersion: '0.1.0',
    runtimeVersion: '1.30.0',
    platform: 'linux/x64',
    cores: 4,
    memoryMb: 2_048,
    labels: { site: 'hall-2' },
  },
}

describe('an enrolment request', () => {
  it('is accepted with the key that signed it, Ed25519 or P-256', () => {
    for (const device of [signer, nodeSigner(generatePrivateKey('ecdsa-sha2-nistp256'))]) {
      const bytes = envelopeBytes(unwrap(signEnrolment(request, device)))
      const checked = unwrap(checkSync(checkEnrolment(bytes), nodeVerifier))
      expect(checked.fingerprint).toBe(keyId(device.key))
      expect(checked.enrolment).toMatchObject({ ...request, publicKey: device.key })
    }
  })

  it('may be signed by a key that has only promises', async () => {
    const later = { key: signer.key, sign: async (message: Uint8Array) => signer.sign(message) }
    const envelope = unwrap(await signEnrolment(request, later))
    expect(envelope).toEqual(unwrap(signEnrolment(request, signer)))
  })

  it('is refused with another key, a changed token, or in another form', () => {
    const envelope = unwrap(signEnrolment(request, signer))
    const code = (changed: unknown) => {
      const result = checkSync(checkEnrolment(utf8(JSON.stringify(changed))), nodeVerifier)
      return result.ok ? 'accepted' : result.error.code
    }
    const { signed, signatures } = envelope
    const other = signerNumber(9).key
    expect(code({ signed: { ...signed, publicKey: other }, signatures })).toBe(
      'enrolment.signature',
    )
    expect(code({ signed: { ...signed, token: 'mine' }, signatures })).toBe('enrolment.signature')
    expect(code({ signed, signatures: [] })).toBe('enrolment.signature')
    expect(code({ signed: { ...signed, device: '../x' }, signatures })).toBe('enrolment.malformed')
    expect(code({ signed: { ...signed, extra: 1 }, signatures })).toBe('enrolment.malformed')
    expect(code('x'.repeat(40_000))).toBe('enrolment.too_large')
  })
})

const claims: DeviceJwtClaims = {
  fleet: 'plant',
  device: 'motor-1',
  nowMs,
  lifetimeMs: 240_000,
  jti: 'abcdefgh01234567',
}

function jwtVerdict(token: string, changes: Partial<DeviceJwtExpectation> = {}): string {
  const expected = { token, key: signer.key, fleet: 'plant', device: 'motor-1', nowMs, ...changes }
  const result = checkSync(verifyDeviceJwt(expected), nodeVerifier)
  return result.ok ? result.value.jti : result.error.code
}

function forge(header: object, payload: object): string {
  const input = [header, payload].map((part) => toBase64url(utf8(JSON.stringify(part)))).join('.')
  return `${input}.${toBase64url(signer.sign(utf8(input)))}`
}

describe('a device token', () => {
  const token = mintDeviceJwt(claims, signer)
  const good = {
    iss: 'motor-1',
    sub: 'motor-1',
    aud: 'linnet:plant:mqtt',
    iat: nowMs / 1000,
    exp: nowMs / 1000 + 240,
    jti: claims.jti,
  }

  it('is accepted once minted, with either kind of device key', () => {
    expect(jwtVerdict(token)).toBe(claims.jti)
    const p256 = nodeSigner(generatePrivateKey('ecdsa-sha2-nistp256'))
    expect(jwtVerdict(mintDeviceJwt(claims, p256), { key: p256.key })).toBe(claims.jti)
  })

  it('is good for the broker or for HTTP, never for both', () => {
    const http = mintDeviceJwt({ ...claims, use: 'http' }, signer)
    expect(jwtVerdict(http, { use: 'http' })).toBe(claims.jti)
    expect(jwtVerdict(http)).toBe('token.audience')
    expect(jwtVerdict(token, { use: 'http' })).toBe('token.audience')
  })

  it.each<[string, string, Partial<DeviceJwtExpectation>]>([
    ['token.signature', 'another key', { key: signerNumber(9).key }],
    ['token.audience', 'another fleet', { fleet: 'lab' }],
    ['token.subject', 'another device', { device: 'motor-2' }],
    ['token.expired', 'a later time', { nowMs: nowMs + 240_000 }],
    ['token.not_yet_valid', 'a clock far behind', { nowMs: nowMs - 61_000 }],
  ])('gives %s with %s', (code, _, changes) => {
    expect(jwtVerdict(token, changes)).toBe(code)
  })

  it.each<[string, string, string]>([
    ['token.algorithm', 'algorithm none', forge({ alg: 'none' }, good)],
    ['token.algorithm', 'an algorithm of shared secrets', forge({ alg: 'HS256' }, good)],
    ['token.lifetime', 'a long life', forge({ alg: 'EdDSA' }, { ...good, exp: good.exp + 61 })],
    ['token.malformed', 'a fractional time', forge({ alg: 'EdDSA' }, { ...good, exp: 1.5 })],
    ['token.malformed', 'no jti', forge({ alg: 'EdDSA' }, { ...good, jti: undefined })],
    ['token.audience', 'a list of audiences', forge({ alg: 'EdDSA' }, { ...good, aud: [] })],
    ['token.malformed', 'two parts', 'a.b'],
    ['token.malformed', 'four parts', `${token}.x`],
    ['token.malformed', 'nothing', ''],
    ['token.too_large', '3,000 characters', 'x'.repeat(3_000)],
  ])('gives %s with %s', (code, _, text) => {
    expect(jwtVerdict(text)).toBe(code)
  })

  it('does not survive a changed character', () => {
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, c) => {
        const changed = token.slice(0, at) + c + token.slice(at + 1)
        if (changed !== token) expect(jwtVerdict(changed)).toMatch(/^token\./)
      }),
      { numRuns: 500 },
    )
  })

  it('is text in base64url, which has one form only', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 9 }), (bytes) => {
        expect(fromBase64url(toBase64url(bytes))).toEqual(bytes)
      }),
    )
    expect(fromBase64url('AB')).toBeUndefined()
    expect(fromBase64url('AA==')).toBeUndefined()
    expect(fromUtf8(fromBase64url('aGk')!)).toBe('hi')
  })
})

describe('the replay guard', () => {
  const use = (id: string, subject = 'motor-1') => ({ subject, id, expiresAtMs: nowMs + 1_000 })
  const code = (result: { ok: boolean; error?: { code: string } }) => result.error?.code ?? 'ok'

  it('admits an id once, until it has expired', () => {
    const guard = createReplayGuard({ entriesMax: 10, entriesPerSubjectMax: 5 })
    expect(code(guard.admit(use('a'), nowMs))).toBe('ok')
    expect(code(guard.admit(use('a'), nowMs + 999))).toBe('token.replayed')
    expect(code(guard.admit(use('a', 'motor-2'), nowMs))).toBe('ok')
    expect(code(guard.admit(use('b'), nowMs + 1_000))).toBe('ok')
    expect(guard.size()).toBe(2)
  })

  it('refuses when a subject or the whole is full, and recovers', () => {
    const guard = createReplayGuard({ entriesMax: 3, entriesPerSubjectMax: 2 })
    expect(['a', 'b', 'c'].map((id) => code(guard.admit(use(id), nowMs)))).toEqual([
      'ok',
      'ok',
      'token.replay_memory_full',
    ])
    expect(code(guard.admit(use('a', 'motor-2'), nowMs))).toBe('ok')
    expect(code(guard.admit(use('a', 'motor-3'), nowMs))).toBe('token.replay_memory_full')
    expect(code(guard.admit(use('a', 'motor-3'), nowMs + 1_000))).toBe('ok')
    expect(guard.size()).toBe(1)
  })
})
