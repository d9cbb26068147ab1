/**
 * Whether a connection that says it is a device is that device: client id = user name = device id,
 * and a token made by its key, used once (design page trust.md, Identity). Other kinds of clients
 * are somebody else's to admit.
 *
 * Invariant: no token is admitted by two lives of the controller. Which tokens were used is in memory
 * alone, so a new life takes none that was made before it began, by the device's clock: a device
 * makes a new one for each try. Only a clock that is ahead could have made one that passes; the
 * newest of those that each such device used is stored (with the next batch).
 */
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import type { Identity } from '../shared/protocol/access.ts'
import { type JwtUse, verifyDeviceJwt } from '../shared/signing/device-jwt.ts'
import { checkSync, type SyncVerifier } from '../shared/signing/keys.ts'
import { createReplayGuard } from '../shared/signing/replay-guard.ts'
import type { Audit } from './audit.ts'
import type { StoredDevice } from './db/store.ts'
import type { Ledger } from './ledger.ts'
import { requireMember } from './membership.ts'

/** A device reconnects at most so often within the life of a token. */
const TOKENS_PER_DEVICE_MAX = 256
const TOKENS_MAX = 200_000
/** Before the device's id, among the fleet's facts: when its newest token ahead of time was made. */
const AHEAD: Readonly<Record<JwtUse, string>> = { mqtt: 'token-ahead/', http: 'token-ahead-http/' }
const SECOND_MS = 1_000

interface DeviceCredentials {
  readonly clientId: string
  readonly username: string | undefined
  readonly password: Uint8Array | undefined
}

/** Errors: `access.unknown_device`, `access.revoked`, `access.pending`, `access.client_id`, `token.*`. */
export type DeviceAccess = (credentials: DeviceCredentials, nowMs: number) => Result<Identity>

interface AccessParts {
  readonly fleet: string
  readonly ledger: Ledger
  readonly verifier: SyncVerifier
  /** When this life of the controller began. */
  readonly startedAtMs: number
}

export function createDeviceAccess(
  parts: AccessParts & { readonly audit: Pick<Audit, 'refused'> },
): DeviceAccess {
  const { fleet, ledger, audit } = parts
  const spend = createTokenCheck(parts, 'mqtt')

  return (credentials, nowMs) => {
    const decided = decide(credentials, nowMs)
    if (!decided.ok) {
      const name = (credentials.username ?? credentials.clientId).slice(0, 64)
      const entry = { actor: name, action: 'connect', resource: 'mqtt' }
      audit.refused({ ...entry, outcome: decided.error.code }, nowMs)
    }
    return decided
  }

  function decide(
    { clientId, username, password }: DeviceCredentials,
    nowMs: number,
  ): Result<Identity> {
    const row = username === undefined ? undefined : ledger.rows.devices.get(username)
    if (row === undefined) return unknownDevice()
    const member = requireMember(row)
    if (!member.ok) return member
    const { device } = row
    if (clientId !== device) {
      return refuse('access.client_id', 'A device connects under its own id.', {
        expected: device,
        found: clientId.slice(0, 64),
      })
    }
    const spent = spend(row, (password && fromUtf8(password)) ?? '', nowMs)
    return spent.ok ? ok({ kind: 'device', fleet, device }) : spent
  }
}

/** Errors: `access.unknown_device`, `access.revoked`, `access.pending`, `token.*`. */
export type DeviceProof = (device: string, token: string, nowMs: number) => Result<undefined>

/** The same over HTTP, with tokens that are good there and nowhere else. */
export function createDeviceProof(parts: AccessParts): DeviceProof {
  const spend = createTokenCheck(parts, 'http')
  return (device, token, nowMs) => {
    const row = parts.ledger.rows.devices.get(device)
    if (row === undefined) return unknownDevice()
    const member = requireMember(row)
    return member.ok ? spend(row, token, nowMs) : member
  }
}

function unknownDevice(): Result<never> {
  return refuse('access.unknown_device', 'No such device is enrolled.')
}

/** Each token once, also over a restart: one that the life before took is not taken again. */
function createTokenCheck(parts: AccessParts, use: JwtUse) {
  const { fleet, ledger, verifier } = parts
  const startedAtMs = Math.floor(parts.startedAtMs / SECOND_MS) * SECOND_MS
  const usedBefore = tokensAhead(ledger, AHEAD[use])
  const guard = createReplayGuard({
    entriesMax: TOKENS_MAX,
    entriesPerSubjectMax: TOKENS_PER_DEVICE_MAX,
  })
  return ({ device, publicKey: key }: StoredDevice, token: string, nowMs: number) => {
    const checking = verifyDeviceJwt({ token, key, fleet, device, use, nowMs })
    const checked = checkSync(checking, verifier)
    if (!checked.ok) return checked
    const { jti, issuedAtMs, expiresAtMs } = checked.value
    if (issuedAtMs < startedAtMs || issuedAtMs <= (usedBefore.get(device) ?? 0)) {
      return refuse('token.before_restart', 'The token was made before the controller started.', {
        expected: `made at ${new Date(startedAtMs).toISOString()} or later`,
        found: new Date(issuedAtMs).toISOString(),
        next: 'the device makes a new token; if it persists, set the clock of the device',
      })
    }
    const first = guard.admit({ subject: device, id: jti, expiresAtMs }, nowMs)
    if (first.ok && issuedAtMs > nowMs) noteAhead(ledger, `${AHEAD[use]}${device}`, issuedAtMs)
    return first
  }
}

/** As the life before left it. */
function tokensAhead({ rows }: Ledger, prefix: string): ReadonlyMap<string, number> {
  const found = [...rows.fleet.values()].filter(({ key }) => key.startsWith(prefix))
  return new Map(found.map(({ key, value }) => [key.slice(prefix.length), Number(value)]))
}

function noteAhead(ledger: Ledger, key: string, issuedAtMs: number): void {
  const before = Number(ledger.rows.fleet.get(key)?.value ?? 0)
  if (issuedAtMs > before) ledger.put('fleet', { key, value: String(issuedAtMs) })
}
