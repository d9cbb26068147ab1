/**
 * The audit trail: one row per command, automatic decision and refused signature, each with the hash
 * of the one before, so that a change, a removal or a reordering shows. Rows are only ever added.
 * Refusals that strangers can cause fill at most 100 rows a minute; how many more there were stands
 * in the next row.
 */
import { sha256Hex } from '../shared/kernel/sha256.ts'
import type { StoredAudit } from './db/store.ts'
import type { Ledger } from './ledger.ts'

const REFUSALS_PER_MINUTE_MAX = 100

interface AuditEntry {
  readonly actor: string
  readonly action: string
  readonly resource: string
  /** `done`, or the code of the refusal. */
  readonly outcome: string
  readonly metadata?: Readonly<Record<string, string>>
}

export interface Audit {
  append(entry: AuditEntry, atMs: number): void
  /** For what anybody can cause without being let in. */
  refused(entry: AuditEntry, atMs: number): void
}

/** @param lastHash of the newest row, empty before the first */
export function createAudit(ledger: Ledger, lastHash: string): Audit {
  let previousHash = lastHash
  let minute = 0
  let inMinute = 0
  let skipped = 0

  function append({ metadata = {}, ...entry }: AuditEntry, atMs: number): void {
    const row = { id: ledger.nextId('audit'), atMs, ...entry, metadata, previousHash }
    const hash = auditHash(row)
    ledger.put('audit', { ...row, hash })
    previousHash = hash
  }

  return {
    append,
    refused(entry, atMs) {
      const now = Math.floor(atMs / 60_000)
      if (now !== minute) inMinute = 0
      minute = now
      if (++inMinute > REFUSALS_PER_MINUTE_MAX) {
        skipped++
        return
      }
      const more = skipped > 0 ? { skippedBefore: String(skipped) } : {}
      skipped = 0
      append({ ...entry, metadata: { ...entry.metadata, ...more } }, atMs)
    },
  }
}

function auditHash(row: Omit<StoredAudit, 'hash'>): string {
  const { id, atMs, actor, action, resource, outcome, metadata, previousHash } = row
  const pairs = Object.entries(metadata).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return sha256Hex(
    JSON.stringify([id, atMs, actor, action, resource, outcome, pairs, previousHash]),
  )
}

/**
 * The id of the first row that does not follow from the one before, or undefined.
 * @param rows oldest first, from the first row on
 */
export function findBrokenLink(rows: readonly StoredAudit[]): number | undefined {
  let previousHash = ''
  for (const [i, row] of rows.entries()) {
    const follows = row.id === i + 1 && row.previousHash === previousHash
    if (!follows || row.hash !== auditHash(row)) return row.id
    previousHash = row.hash
  }
  return undefined
}
