/**
 * Whether a connection that says it is a device is that device: client id = user name = device id,
 * and a token made by its key, used once (design page trust.md, Identity). Other kinds of clients
 * are somebody else's to admit.
 */
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import type { Identity } from '../shared/protocol/access.ts'
import { verifyDeviceJwt } from '../shared/signing/device-jwt.ts'
import { checkSync, type SyncVerifier } from '../shared/signing/keys.ts'
import { createReplayGuard } from '../shared/signing/replay-guard.ts'
import type { Audit } from './audit.ts'
import type { Ledger } from './ledger.ts'
import { requireMember } from './membership.ts'

/** A device reconnects at most so often within the life of a token. */
const TOKENS_PER_DEVICE_MAX = 256
const TOKENS_MAX = 200_000

interface DeviceCredentials {
  readonly clientId: string
  readonly username: string | undefined
  readonly password: Uint8Array | undefined
}

/** Errors: `access.unknown_device`, `access.revoked`, `access.pending`, `access.client_id`, `token.*`. */
export type DeviceAccess = (credentials: DeviceCredentials, nowMs: number) => Result<Identity>

export function createDeviceAccess(parts: {
  readonly fleet: string
  readonly ledger: Ledger
  readonly verifier: SyncVerifier
  readonly audit: Pick<Audit, 'refused'>
}): DeviceAccess {
  const { fleet, ledger, verifier, audit } = parts
  const guard = createReplayGuard({
    entriesMax: TOKENS_MAX,
    entriesPerSubjectMax: TOKENS_PER_DEVICE_MAX,
  })

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
    if (row === undefined) return refuse('access.unknown_device', 'No such device is enrolled.')
    const member = requireMember(row)
    if (!member.ok) return member
    const { device, publicKey } = row
    if (clientId !== device) {
      return refuse('access.client_id', 'A device connects under its own id.', {
        expected: device,
        found: clientId.slice(0, 64),
      })
    }
    const token = (password && fromUtf8(password)) ?? ''
    const checked = checkSync(
      verifyDeviceJwt({ token, key: publicKey, fleet, device, nowMs }),
      verifier,
    )
    if (!checked.ok) return checked
    const { jti, expiresAtMs } = checked.value
    const first = guard.admit({ subject: device, id: jti, expiresAtMs }, nowMs)
    return first.ok ? ok({ kind: 'device', fleet, device }) : first
  }
}
