/**
 * The hash chain of the audit trail and its signed head. Invariant: no entry can be changed, removed
 * or moved without every later hash changing, and the head says which hash is the newest. Whoever
 * has the database but not the timestamp key cannot make another head; an older head with the trail
 * cut behind it is found only by who remembers a newer one (`known`).
 */
import { ok, type Result, refuse } from '../kernel/result.ts'
import { sha256Hex } from '../kernel/sha256.ts'
import type { AuditEntry, AuditHead, SignedAuditHead } from '../model/audit.ts'
import { canonicalBytes } from './canonical-json.ts'
import { isSignedBy, type KeySet, signEnvelope } from './envelope.ts'
import type { Checking, Envelope, SyncSigner } from './keys.ts'

export function auditHash(entry: Omit<AuditEntry, 'hash'>): string {
  const { id, atMs, actor, action, resource, outcome, metadata, previousHash } = entry
  const pairs = Object.entries(metadata).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return sha256Hex(
    JSON.stringify([id, atMs, actor, action, resource, outcome, pairs, previousHash]),
  )
}

/** Code `json.not_canonical`, which no head causes. */
export function signAuditHead(head: AuditHead, signer: SyncSigner): Result<Envelope<AuditHead>> {
  return signEnvelope(head, [signer])
}

/** Where a chain ends, and what its entries were. */
export interface ChainEnd {
  readonly id: number
  readonly hash: string
}

/**
 * Follows a chain entry by entry, so that a long one never is in memory as a whole.
 * Code `audit.broken`, naming the first entry that does not follow.
 */
export function followChain(end: ChainEnd, entry: AuditEntry): Result<ChainEnd> {
  const flaw =
    entry.id !== end.id + 1
      ? { expected: `entry ${end.id + 1}`, found: `entry ${entry.id}` }
      : entry.previousHash !== end.hash
        ? { expected: `the hash of entry ${end.id} before it`, found: entry.previousHash }
        : entry.hash !== auditHash(entry)
          ? { expected: auditHash(entry), found: entry.hash }
          : undefined
  if (flaw === undefined) return ok({ id: entry.id, hash: entry.hash })
  return refuse('audit.broken', `The audit trail is broken at entry ${entry.id}.`, flaw)
}

export const CHAIN_START: ChainEnd = { id: 0, hash: '' }

/** The id of the first entry that does not follow from the one before, or undefined. */
export function findBrokenLink(entries: readonly AuditEntry[]): number | undefined {
  let end = CHAIN_START
  for (const entry of entries) {
    const next = followChain(end, entry)
    if (!next.ok) return entry.id
    end = next.value
  }
  return undefined
}

/** Codes `audit.head_signature`, `audit.head_fleet`. */
export function* checkAuditHead(
  head: SignedAuditHead,
  fleet: string | undefined,
  keys: KeySet,
): Checking<Result<AuditHead>> {
  const { signed, signatures } = head
  const signedBytes = canonicalBytes(signed)
  if (!signedBytes.ok) return signedBytes
  const opened = { signed: { ...signed }, signatures, signedBytes: signedBytes.value }
  if (!(yield* isSignedBy(opened, keys))) {
    return refuse('audit.head_signature', 'The head of the audit trail is not signed.', {
      expected: `a timestamp key of the root: ${[...keys.keys.keys()].join(', ')}`,
      found: signatures.map(({ keyid }) => keyid).join(', ') || 'no signature',
    })
  }
  if (fleet === undefined || signed.fleet === fleet) return ok(signed)
  return refuse('audit.head_fleet', 'The head is of another fleet.', {
    expected: fleet,
    found: signed.fleet,
  })
}
