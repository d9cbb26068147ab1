/**
 * The messages of every device that are taken over, in the ledger: which (boot, seq) is a duplicate.
 * At most 64 boots of a device are remembered; one more forgets the boot that was silent longest,
 * whose messages would then be taken for new ones: a device has to start 64 times with windows unsent
 * for that.
 */
import type { Ledger } from './ledger.ts'
import { addSeen, hasSeen } from './seen.ts'

const BOOTS_MAX = 64

export interface SeenLog {
  has(device: string, boot: string, seq: number): boolean
  note(device: string, boot: string, seq: number, nowMs: number): void
}

export function createSeenLog(ledger: Ledger): SeenLog {
  const boots = new Map<string, Set<string>>()
  for (const { device, boot } of ledger.rows.seen.values()) bootsOf(device).add(boot)

  function bootsOf(device: string): Set<string> {
    const known = boots.get(device) ?? new Set<string>()
    boots.set(device, known)
    return known
  }

  function forgetOldest(device: string): void {
    const rows = [...bootsOf(device)].flatMap(
      (boot) => ledger.rows.seen.get(`${device}/${boot}`) ?? [],
    )
    if (rows.length < BOOTS_MAX) return
    const [oldest] = rows.toSorted((a, b) => a.usedAtMs - b.usedAtMs)
    if (oldest === undefined) return
    ledger.remove('seen', oldest)
    bootsOf(device).delete(oldest.boot)
  }

  return {
    has(device, boot, seq) {
      const row = ledger.rows.seen.get(`${device}/${boot}`)
      return row !== undefined && hasSeen(row.ranges, seq)
    },
    note(device, boot, seq, nowMs) {
      const row = ledger.rows.seen.get(`${device}/${boot}`)
      if (row === undefined) forgetOldest(device)
      bootsOf(device).add(boot)
      const ranges = addSeen(row?.ranges ?? [], seq)
      ledger.put('seen', { device, boot, ranges, usedAtMs: nowMs })
    },
  }
}
