/**
 * The audit trail as it travels: entries, each with the hash of the one before, and the signed head
 * that names the newest. What a chain must satisfy is shared/signing/audit-chain.ts.
 */
import { z } from 'zod'
import { countSchema, idSchema, sha256Schema, timeMsSchema } from './names.ts'

/** `hash` covers every other field; `previousHash` is empty in the first entry. */
export const auditEntrySchema = z.strictObject({
  id: z.int().min(1),
  atMs: timeMsSchema,
  actor: z.string(),
  action: z.string(),
  resource: z.string(),
  /** `done`, or the code of the refusal or decision. */
  outcome: z.string(),
  metadata: z.record(z.string(), z.string()),
  previousHash: z.string().max(64),
  hash: sha256Schema,
})
export type AuditEntry = z.infer<typeof auditEntrySchema>

export const auditHeadSchema = z.strictObject({
  _type: z.literal('audit-head'),
  fleet: idSchema,
  /** The newest entry when this was signed; 0 and an empty hash before the first. */
  id: countSchema,
  hash: z.string().max(64),
  atMs: timeMsSchema,
})
export type AuditHead = z.infer<typeof auditHeadSchema>

/** The head with the signature of the timestamp key, which root names. */
export const signedAuditHeadSchema = z.strictObject({
  signed: auditHeadSchema,
  signatures: z.array(z.strictObject({ keyid: sha256Schema, sig: z.string().max(4_096) })).max(8),
})
export type SignedAuditHead = z.infer<typeof signedAuditHeadSchema>
