/**
 * Which devices belong to the fleet: those that an operator revoked do not any more, those that wait
 * for approval not yet. Invariant: from the commit on a revoked device is refused everywhere (MQTT,
 * messages, assignments), its connection is closed, and nothing it counted decides an open rollout.
 */
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import { formatTopic } from '../shared/protocol/topics.ts'
import type { Actor } from './application.ts'
import type { Audit } from './audit.ts'
import type { Broker } from './broker/broker.ts'
import type { Changes } from './changes.ts'
import type { Contributions } from './contributions.ts'
import type { StoredDevice } from './db/store.ts'
import type { Evidence } from './evidence.ts'
import type { Ledger } from './ledger.ts'
import type { PresenceTracker } from './presence.ts'
import type { Turns } from './turns.ts'

export function isMember({ revokedAtMs, approvedAtMs }: StoredDevice): boolean {
  return revokedAtMs === null && approvedAtMs !== null
}

/** Codes `access.revoked`, `access.pending`. */
export function requireMember(row: StoredDevice): Result<undefined> {
  if (row.revokedAtMs !== null) return refuse('access.revoked', 'This device was revoked.')
  if (row.approvedAtMs !== null) return ok()
  return refuse('access.pending', 'This device waits for an operator.', {
    next: `linnet device approve ${row.device}`,
  })
}

export interface MembershipDesk {
  /** Errors: `device.not_found`. A device that is revoked already stays so. */
  revoke(device: string, note: string, actor: Actor, nowMs: number): Result<undefined>
  /** Errors: `device.not_found`, `access.revoked`. */
  approve(device: string, actor: Actor, nowMs: number): Result<undefined>
}

export function createMembershipDesk(parts: {
  readonly fleet: string
  readonly ledger: Ledger
  readonly audit: Audit
  readonly turns: Turns
  readonly changes: Changes
  readonly broker: Broker
  readonly presence: PresenceTracker
  readonly evidence: Evidence
  readonly contributions: Contributions
}): MembershipDesk {
  const { fleet, ledger, audit, turns, changes, broker, presence, evidence } = parts
  const unknown = (device: string) =>
    refuse('device.not_found', `There is no device ${device.slice(0, 64)}.`, {
      next: 'linnet device list',
    })

  return {
    revoke(device, note, actor, nowMs) {
      const row = ledger.rows.devices.get(device)
      if (row === undefined) return unknown(device)
      if (row.revokedAtMs !== null) return ok()
      ledger.put('devices', { ...row, revokedAtMs: nowMs })
      const withdrawn = parts.contributions.withdraw(device, evidence)
      const known = ledger.rows.deviceStates.get(device)?.presence
      if (known) presence.said(device, { ...known, status: 'offline' }, nowMs)
      const metadata = { note, key: row.deviceKey, withdrawnFrom: withdrawn.join() }
      const entry = { actor: actor.name, action: 'revoke', resource: `device/${device}` }
      audit.append({ ...entry, outcome: 'done', metadata }, nowMs)
      // Nothing of it is to lie in the broker; what the device holds is its own.
      const topic = formatTopic('dn/desired', { fleet, device })
      turns.send({ topic, payload: '', qos: 1, retain: true })
      turns.afterCommit(() => {
        changes.note('device', device)
        void broker.disconnect(device, 'revoked').catch(() => false)
      })
      return ok()
    },
    approve(device, actor, nowMs) {
      const row = ledger.rows.devices.get(device)
      if (row === undefined) return unknown(device)
      if (row.revokedAtMs !== null) return requireMember(row)
      if (row.approvedAtMs !== null) return ok()
      ledger.put('devices', { ...row, approvedAtMs: nowMs })
      const metadata = { key: row.deviceKey }
      const entry = { actor: actor.name, action: 'approve', resource: `device/${device}` }
      audit.append({ ...entry, outcome: 'done', metadata }, nowMs)
      turns.afterCommit(() => changes.note('device', device))
      return ok()
    },
  }
}
