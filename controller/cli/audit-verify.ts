/**
 * Whether an audit trail is whole: every entry follows from the one before, the signed head names one
 * of them, and the head that was verified here last is still in it. Invariant: a trail passes only if
 * nothing up to its signed head was changed, removed or moved.
 */
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import {
  type AuditEntry,
  type AuditHead,
  auditHeadSchema,
  type SignedAuditHead,
} from '../../shared/model/audit.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { CHAIN_START, checkAuditHead, followChain } from '../../shared/signing/audit-chain.ts'
import type { KeySet } from '../../shared/signing/envelope.ts'
import { checkSync } from '../../shared/signing/keys.ts'

/** A part of the trail; the head comes with the first one. */
export interface AuditPage {
  readonly entries: readonly AuditEntry[]
  readonly head: SignedAuditHead | null
}

export interface VerifiedAudit {
  readonly entries: number
  /** Entries up to here are covered by the signed head. */
  readonly signed: number
  readonly unsigned: number
  readonly signedAtMs: number
}

/** Errors (thrown): `audit.broken`, `.head_signature`, `.head_fleet`, `.no_head`, `.truncated`. */
export async function verifyAudit(parts: {
  readonly pages: AsyncIterable<AuditPage>
  /** The timestamp keys of the root. */
  readonly keys: KeySet
  /** Where the head that was verified last is remembered. */
  readonly knownPath: string
}): Promise<VerifiedAudit> {
  const known = await readKnown(parts.knownPath)
  let end = CHAIN_START
  let head: SignedAuditHead | null = null
  /** Of the entries that heads name, so that a long trail never is in memory as a whole. */
  const hashes = new Map<number, string>([[0, '']])
  for await (const page of parts.pages) {
    head ??= page.head
    for (const entry of page.entries) {
      end = unwrap(followChain(end, entry))
      if (end.id === known?.id || end.id === head?.signed.id) hashes.set(end.id, end.hash)
    }
  }
  if (head === null) {
    throw new ProblemError({
      code: 'audit.no_head',
      message: 'The audit trail has no signed head.',
    })
  }
  const signed = unwrap(checkSync(checkAuditHead(head, known?.fleet, parts.keys), nodeVerifier))
  for (const one of known === undefined ? [signed] : [known, signed]) {
    if (hashes.get(one.id) === one.hash) continue
    const message = `The audit trail is not the one that was signed at entry ${one.id}.`
    const found = hashes.get(one.id) ?? `${end.id} entries`
    throw new ProblemError({ code: 'audit.truncated', message, expected: one.hash, found })
  }
  if (known === undefined || signed.id >= known.id) {
    await writeFileAtomic(parts.knownPath, `${JSON.stringify(signed)}\n`)
  }
  const unsigned = end.id - signed.id
  return { entries: end.id, signed: signed.id, unsigned, signedAtMs: signed.atMs }
}

async function readKnown(path: string): Promise<AuditHead | undefined> {
  const bytes = await readFileBounded(path, 4_096)
  if (bytes === undefined) return undefined
  return auditHeadSchema.parse(JSON.parse(fromUtf8(bytes) ?? ''))
}
