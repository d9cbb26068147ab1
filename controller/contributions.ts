/**
 * What each device counted for rollouts that are under way, so that a device that is revoked can be
 * taken out of the evidence again. Merged windows cannot tell; this can.
 *
 * Invariant: at most one row for each device and open rollout. Rows of a rollout that is over leave,
 * but for those of revoked devices: a restart adds up the windows again and must withdraw them again.
 */
import { type ArmCounts, addArms, NO_COUNTS } from '../shared/judge/arm-counts.ts'
import { isFinal } from '../shared/rollout/state.ts'
import type { DeviceCounts } from './db/store.ts'
import type { Evidence } from './evidence.ts'
import type { Ledger } from './ledger.ts'

export interface Contributions {
  add(device: string, rollout: string, counted: readonly DeviceCounts[]): void
  /** Takes the device's counts out of every rollout. @returns the rollouts that were under way */
  withdraw(device: string, evidence: Evidence): string[]
  /** Rollouts that are over need no rows. */
  forgetFinished(): void
}

export function createContributions(ledger: Ledger): Contributions {
  return {
    add(device, rollout, counted) {
      const known = ledger.rows.contributions.get(`${rollout}/${device}`)?.counts ?? []
      const sums = new Map(known.map((entry) => [keyOf(entry), entry]))
      for (const entry of counted) {
        const counts = addArms([sums.get(keyOf(entry))?.counts ?? NO_COUNTS, entry.counts])
        sums.set(keyOf(entry), { ...entry, counts })
      }
      ledger.put('contributions', { rollout, device, counts: [...sums.values()] })
    },
    withdraw(device, evidence) {
      const open: string[] = []
      for (const row of ledger.rows.contributions.values()) {
        const rollout = ledger.rows.rollouts.get(row.rollout)
        if (row.device !== device || rollout === undefined) continue
        for (const { counts, ...where } of row.counts) {
          evidence.add({ rollout, ...where, counts: negative(counts), atMs: 0 })
        }
        if (!isFinal(rollout)) open.push(rollout.id)
      }
      return open
    },
    forgetFinished() {
      for (const row of [...ledger.rows.contributions.values()]) {
        const rollout = ledger.rows.rollouts.get(row.rollout)
        const isRevoked = ledger.rows.devices.get(row.device)?.revokedAtMs != null
        if (rollout !== undefined && isFinal(rollout) && !isRevoked) {
          ledger.remove('contributions', row)
        }
      }
    },
  }
}

function keyOf({ wave, profile, version }: DeviceCounts): string {
  return `${wave}/${profile}/${version}`
}

function negative(counts: ArmCounts): ArmCounts {
  const entries = Object.entries(counts).map(([name, count]) => [name, -count])
  return { ...counts, ...(Object.fromEntries(entries) as Partial<ArmCounts>) }
}
