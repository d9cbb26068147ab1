/**
 * How devices join: tokens with bounded uses and life, and signed requests that spend them. Whether
 * an operator has to approve as well is a setting; membership.ts has the rest of a device's life.
 *
 * Invariants: a secret is never stored, only its digest; a device id belongs to one key for ever;
 * the same device with the same key may ask again, which tells its facts anew and spends nothing but
 * where it takes labels or staging from a token; a token's use and the device it admits are stored in one batch. At most 10,000 tokens; expired ones
 * leave first.
 */
import { isDeepStrictEqual } from 'node:util'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import { sha256Hex } from '../shared/kernel/sha256.ts'
import type { DeviceFacts } from '../shared/model/device.ts'
import type { Enrolment } from '../shared/model/enrolment.ts'
import type { FirmwareProfile } from '../shared/model/profile.ts'
import { checkEnrolment } from '../shared/signing/enrolment.ts'
import { parseEnrolmentToken } from '../shared/signing/enrolment-token.ts'
import { checkSync, type SyncVerifier } from '../shared/signing/keys.ts'
import type { Actor } from './application.ts'
import type { Audit } from './audit.ts'
import type { StoredDevice, StoredToken } from './db/store.ts'
import type { Ledger } from './ledger.ts'

const TOKENS_MAX = 10_000
const CLOCK_AHEAD_MS_MAX = 300_000

export interface TokenOptions {
  readonly uses: number
  readonly expiresInSeconds: number
  readonly labels: Record<string, string>
  readonly staging?: boolean
}

export interface EnrolmentDesk {
  /** Errors: `enrolment.too_many_tokens`. */
  createToken(
    options: TokenOptions,
    actor: Actor,
    nowMs: number,
  ): Result<{ token: string; expiresAtMs: number }>
  /**
   * Errors: those of `checkEnrolment`; `enrolment.fleet`, `.profile_unknown`, `.device_taken`,
   * `.revoked`, `.replayed`, `.token_unknown`, `.token_expired`, `.token_used`.
   */
  enrol(body: Uint8Array, nowMs: number): Result<{ device: string }>
  /** Newest first, those that still admit somebody. */
  tokens(nowMs: number): StoredToken[]
  /** By the start of its digest. Errors: `enrolment_token.not_found`. */
  revokeToken(id: string, actor: Actor, nowMs: number): Result<undefined>
}

export function createEnrolmentDesk(parts: {
  readonly fleet: string
  readonly ledger: Ledger
  readonly audit: Audit
  readonly verifier: SyncVerifier
  readonly profiles: ReadonlyMap<string, FirmwareProfile>
  /** A secret that nobody can guess. */
  readonly randomSecret: () => string
  /** A device that a token admits still waits for an operator. */
  readonly needsApproval: boolean
}): EnrolmentDesk {
  const { fleet, ledger, audit, verifier, profiles } = parts

  function admit(enrolment: Enrolment, fingerprint: string, nowMs: number): Result<StoredToken> {
    if (enrolment.fleet !== fleet) {
      return refuse('enrolment.fleet', 'The request is for another fleet.', {
        expected: fleet,
        found: enrolment.fleet,
      })
    }
    if (!profiles.has(enrolment.facts.profile)) {
      return unknownProfile(enrolment.facts.profile, profiles)
    }
    if (ledger.rows.devices.has(enrolment.device)) {
      return refuse('enrolment.device_taken', 'Another key holds this device id.', {
        expected: 'an id that is free, or its own key',
        found: fingerprint,
        next: 'enrol under another id',
      })
    }
    return spendable(ledger.rows.tokens.get(sha256Hex(secretOf(enrolment.token))), nowMs)
  }

  /**
   * Its own facts are followed. Labels select rollouts and staging opens them, so they change only by a
   * token that still admits somebody: what an operator gave a device is not the device's to take back.
   */
  function comeAgain(
    known: StoredDevice,
    { device, token, facts, issuedAt }: Enrolment,
    nowMs: number,
  ): Result<{ device: string }> {
    if (known.revokedAtMs !== null) return refuse('enrolment.revoked', 'This device was revoked.')
    if (!profiles.has(facts.profile)) return unknownProfile(facts.profile, profiles)
    if (!isLater(issuedAt, known, nowMs)) return replayed(known, issuedAt)
    const found = spendable(ledger.rows.tokens.get(sha256Hex(secretOf(token))), nowMs)
    const { labels, staging = false } = known.facts
    const kept = { ...admittedFacts(facts, { labels, staging }), labels }
    const next = found.ok ? admittedFacts(facts, found.value) : kept
    // What a token gives is one of its uses, whoever takes it.
    const takes = !isDeepStrictEqual(next.labels, labels) || (next.staging ?? false) !== staging
    if (found.ok && takes) {
      ledger.put('tokens', { ...found.value, usesLeft: found.value.usesLeft - 1 })
    }
    if (isDeepStrictEqual(next, known.facts)) return ok({ device })
    ledger.put('devices', { ...known, facts: next, askedAtMs: issuedAt ?? null })
    const entry = { actor: device, action: 'enrol', resource: device, outcome: 'facts_changed' }
    audit.append({ ...entry, metadata: { profile: next.profile } }, nowMs)
    return ok({ device })
  }

  return {
    ...createTokens(parts),
    enrol(body, nowMs) {
      const checked = checkSync(checkEnrolment(body), verifier)
      if (!checked.ok) {
        const { code: outcome } = checked.error
        const stranger = { actor: 'unknown', action: 'enrol', resource: 'device', outcome }
        audit.refused(stranger, nowMs)
        return checked
      }
      const { enrolment, fingerprint } = checked.value
      const known = ledger.rows.devices.get(enrolment.device)
      if (known?.deviceKey === fingerprint && enrolment.fleet === fleet) {
        return comeAgain(known, enrolment, nowMs)
      }
      const token = admit(enrolment, fingerprint, nowMs)
      const entry = { actor: enrolment.device, action: 'enrol', resource: enrolment.device }
      if (!token.ok) {
        audit.refused({ ...entry, outcome: token.error.code }, nowMs)
        return token
      }
      ledger.put('tokens', { ...token.value, usesLeft: token.value.usesLeft - 1 })
      ledger.put('devices', {
        device: enrolment.device,
        deviceKey: fingerprint,
        publicKey: enrolment.publicKey,
        facts: admittedFacts(enrolment.facts, token.value),
        enrolledAtMs: nowMs,
        askedAtMs: enrolment.issuedAt === undefined ? null : Math.min(enrolment.issuedAt, nowMs),
        revokedAtMs: null,
        approvedAtMs: parts.needsApproval ? null : nowMs,
      })
      const outcome = parts.needsApproval ? 'enrolment.pending' : 'done'
      audit.append({ ...entry, outcome, metadata: { key: fingerprint } }, nowMs)
      return ok({ device: enrolment.device })
    },
  }
}

/**
 * What a member asked before is worth nothing any more: recorded, it would put old facts back. Who
 * never told a time may go on without; a time that is yet to come orders nothing.
 */
function isLater(
  issuedAt: number | undefined,
  { askedAtMs }: StoredDevice,
  nowMs: number,
): boolean {
  if (issuedAt === undefined) return (askedAtMs ?? null) === null
  return issuedAt >= (askedAtMs ?? 0) && issuedAt <= nowMs + CLOCK_AHEAD_MS_MAX
}

function replayed({ askedAtMs }: StoredDevice, issuedAt: number | undefined): Result<never> {
  return refuse('enrolment.replayed', 'The request is not the newest of this device.', {
    expected: `issued from ${new Date(askedAtMs ?? 0).toISOString()} until now`,
    found: issuedAt === undefined ? 'no time' : new Date(issuedAt).toISOString(),
    next: 'set the clock of the device, then ask again',
  })
}

function unknownProfile(
  found: string,
  profiles: ReadonlyMap<string, FirmwareProfile>,
): Result<never> {
  return refuse('enrolment.profile_unknown', 'There is no such firmware profile.', {
    expected: [...profiles.keys()].join(', '),
    found,
  })
}

function createTokens({
  ledger,
  audit,
  randomSecret,
}: {
  readonly ledger: Ledger
  readonly audit: Audit
  readonly randomSecret: () => string
}): Pick<EnrolmentDesk, 'createToken' | 'tokens' | 'revokeToken'> {
  return {
    createToken({ uses, expiresInSeconds, labels, staging = false }, actor, nowMs) {
      for (const token of ledger.rows.tokens.values()) {
        if (token.expiresAtMs <= nowMs) ledger.remove('tokens', token)
      }
      if (ledger.rows.tokens.size >= TOKENS_MAX) {
        return refuse('enrolment.too_many_tokens', 'Too many enrolment tokens are open.', {
          expected: `at most ${TOKENS_MAX}`,
        })
      }
      const token = `lne_${randomSecret()}`
      const hash = sha256Hex(token)
      const expiresAtMs = nowMs + expiresInSeconds * 1_000
      const row = { hash, usesLeft: uses, expiresAtMs, labels, staging, createdBy: actor.name }
      ledger.put('tokens', { ...row, createdAtMs: nowMs })
      const metadata = {
        ...{ uses: String(uses), expiresAtMs: String(expiresAtMs) },
        ...(staging && { staging: 'yes' }),
      }
      const resource = `enrolment-token/${tokenId({ hash })}`
      audit.append(
        { actor: actor.name, action: 'create', resource, outcome: 'done', metadata },
        nowMs,
      )
      return ok({ token, expiresAtMs })
    },
    tokens: (nowMs) =>
      [...ledger.rows.tokens.values()]
        .filter((token) => spendable(token, nowMs).ok)
        .toSorted((a, b) => b.createdAtMs - a.createdAtMs),
    revokeToken(id, actor, nowMs) {
      const token = [...ledger.rows.tokens.values()].find((row) => tokenId(row) === id)
      if (token === undefined) {
        return refuse('enrolment_token.not_found', `There is no enrolment token ${id}.`, {
          next: 'linnet device tokens',
        })
      }
      ledger.remove('tokens', token)
      const entry = { actor: actor.name, action: 'revoke', resource: `enrolment-token/${id}` }
      audit.append({ ...entry, outcome: 'done' }, nowMs)
      return ok()
    },
  }
}

/** What the token says of the device wins. Staging both must want: else the device takes nothing there. */
function admittedFacts(
  { staging, ...facts }: DeviceFacts,
  token: Pick<StoredToken, 'labels' | 'staging'>,
): DeviceFacts {
  const admitted = { ...facts, labels: { ...facts.labels, ...token.labels } }
  return staging === true && token.staging ? { ...admitted, staging } : admitted
}

/** How people name a token: it says nothing of the secret. */
export function tokenId({ hash }: Pick<StoredToken, 'hash'>): string {
  return hash.slice(0, 12)
}

/** A token that names the root carries our secret as one part; the rest is the device's business. */
function secretOf(token: string): string {
  const parsed = parseEnrolmentToken(token)
  return parsed.ok ? parsed.value.secret : token
}

function spendable(token: StoredToken | undefined, nowMs: number): Result<StoredToken> {
  const next = 'ask an operator: linnet device token'
  if (token === undefined) {
    return refuse('enrolment.token_unknown', 'There is no such enrolment token.', { next })
  }
  if (token.expiresAtMs <= nowMs) {
    return refuse('enrolment.token_expired', 'The enrolment token has expired.', { next })
  }
  if (token.usesLeft > 0) return ok(token)
  return refuse('enrolment.token_used', 'The enrolment token is used up.', { next })
}
