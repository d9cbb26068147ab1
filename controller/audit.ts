/**
 * The audit trail: one row per command, automatic decision, login, token and refusal, each with the
 * hash of the one before, so that a change, a removal or a reordering shows. Rows are only ever
 * added. The newest hash is signed with the timestamp key at every minute in which something came.
 * Refusals that strangers can cause fill at most 100 rows a minute; how many more there were stands
 * in the next row.
 */
import { unwrap } from '../shared/kernel/result.ts'
import { type SignedAuditHead, signedAuditHeadSchema } from '../shared/model/audit.ts'
import { auditHash, signAuditHead } from '../shared/signing/audit-chain.ts'
import type { SyncSigner } from '../shared/signing/keys.ts'
import type { Store } from './db/store.ts'
import type { Ledger } from './ledger.ts'

const REFUSALS_PER_MINUTE_MAX = 100
const HEAD_KEY = 'audit.head'
const TEXT_MAX = 500

export interface AuditRecord {
  readonly actor: string
  readonly action: string
  readonly resource: string
  /** `done`, or the code of the refusal. */
  readonly outcome: string
  readonly metadata?: Readonly<Record<string, string>>
}

export interface Audit {
  append(entry: AuditRecord, atMs: number): void
  /** For what anybody can cause without being let in. */
  refused(entry: AuditRecord, atMs: number): void
  /** Signs the newest hash, if it is not signed already or by another key. */
  signHead(fleet: string, signer: SyncSigner, keyid: string, atMs: number): void
  /** As it is stored; null before the first. */
  head(): SignedAuditHead | null
}

/** @param lastHash of the newest row, empty before the first */
export function createAudit(ledger: Ledger, lastHash: string, lastId = 0): Audit {
  let previousHash = lastHash
  let newestId = lastId
  let minute = 0
  let inMinute = 0
  let skipped = 0

  function append({ metadata = {}, ...entry }: AuditRecord, atMs: number): void {
    const resource = entry.resource.slice(0, TEXT_MAX)
    const row = { id: ledger.nextId('audit'), atMs, ...entry, resource, metadata, previousHash }
    const hash = auditHash(row)
    ledger.put('audit', { ...row, hash })
    previousHash = hash
    newestId = row.id
  }

  function head(): SignedAuditHead | null {
    const text = ledger.rows.fleet.get(HEAD_KEY)?.value
    return text === undefined ? null : signedAuditHeadSchema.parse(JSON.parse(text))
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
    signHead(fleet, signer, keyid, atMs) {
      const known = head()
      const isSigned = known?.signed.id === newestId && known.signatures[0]?.keyid === keyid
      if (isSigned) return
      const next = { _type: 'audit-head' as const, fleet, id: newestId, hash: previousHash, atMs }
      const value = JSON.stringify(unwrap(signAuditHead(next, signer)))
      ledger.put('fleet', { key: HEAD_KEY, value })
    },
    head,
  }
}

/** A trail that lost what was signed goes on, but says so: the next head must not hide it. */
export async function noteCutTrail(
  audit: Audit,
  store: Pick<Store, 'auditAfter'>,
  atMs: number,
): Promise<void> {
  const head = audit.head()?.signed
  if (head === undefined || head.id === 0) return
  const [row] = await store.auditAfter(head.id - 1, 1)
  if (row?.id === head.id && row.hash === head.hash) return
  const metadata = { signedEntry: String(head.id), signedHash: head.hash }
  const entry = { actor: 'controller', action: 'start', resource: 'audit' }
  audit.append({ ...entry, outcome: 'audit.truncated', metadata }, atMs)
}
