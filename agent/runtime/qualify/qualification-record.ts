/**
 * The stored result of a qualification: what was proved, in which settings, and everything that it
 * holds for, signed with the device's key.
 *
 * Invariant: a record counts only when this device's key signed it and every field that it is bound
 * to is as it was; anything else asks for a new proof, with the reason. So neither an optimised model
 * file, which no release signature covers, nor an old proof can be slipped in by who can only write to
 * the disk. Where records are kept is left to record-store.ts.
 */
import { z } from 'zod'
import { toHex } from '../../../shared/kernel/bytes.ts'
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import { qualificationSchema } from '../../../shared/model/device.ts'
import { sha256Schema } from '../../../shared/model/names.ts'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'
import { canonicalBytes } from '../../../shared/signing/canonical-json.ts'
import { envelopeBytes, isSignedBy, openEnvelope } from '../../../shared/signing/envelope.ts'
import {
  type Checking,
  checkSync,
  keyId,
  type PublicKey,
  type Signer,
  type SyncVerifier,
} from '../../../shared/signing/keys.ts'
import type { ResolvedRelease } from '../../ports.ts'
import { readBatchSettings } from '../batch-settings.ts'
import { proofSubject } from '../proof-subject.ts'

export const RECORD_BYTES_MAX = 262_144
const JSON_LIMITS = { bytesMax: RECORD_BYTES_MAX, depthMax: 8, valuesMax: 64 }
const TYPE = 'linnet.qualified.v1'

/** All that a proof holds for; each is compared as it stands. */
const bindingSchema = z.strictObject({
  source: sha256Schema,
  golden: sha256Schema,
  tolerance: z.string(),
  tensors: sha256Schema,
  runtimeVersion: z.string(),
  machine: z.string(),
  drivers: z.string(),
  /** Of the profile, in order. */
  providers: z.string(),
  limits: z.string(),
})
export type RecordBinding = z.infer<typeof bindingSchema>

const settingsSchema = z.strictObject({
  threads: z.int().min(1).max(1024),
  layout: z.enum(['NCHW', 'NHWC']).nullable(),
  spinning: z.boolean().optional(),
  graph: z.enum(['disabled', 'basic', 'extended', 'all']).optional(),
  batching: z.unknown().optional().transform(readBatchSettings),
})

const recordSchema = z.strictObject({
  binding: bindingSchema,
  qualification: qualificationSchema,
  settings: settingsSchema,
  optimised: z.strictObject({ sha256: sha256Schema, length: z.int().min(1) }).nullable(),
})
export type QualificationRecord = z.infer<typeof recordSchema>

/** What lies under every proof of this process. */
export interface Surroundings {
  readonly runtimeVersion: string
  readonly machine: string
  readonly drivers: string
  readonly profile: Pick<FirmwareProfile, 'executionProviders' | 'limits'>
}

export function bindingOf(
  release: Pick<ResolvedRelease, 'variant' | 'manifest'>,
  { runtimeVersion, machine, drivers, profile }: Surroundings,
): RecordBinding {
  const { threadsMax, sessionMemoryMb, artifactBytesMax } = profile.limits
  return {
    ...proofSubject(release),
    ...{ runtimeVersion, machine, drivers },
    providers: profile.executionProviders.join(','),
    limits: `threads=${threadsMax} memoryMb=${sessionMemoryMb} bytes=${artifactBytesMax}`,
  }
}

/** Errors: `record.malformed`. The figures are fractions, which canonical JSON does not know: what is signed holds them as text. */
export async function sealRecord(
  record: QualificationRecord,
  signer: Signer,
): Promise<Result<Uint8Array>> {
  // What this device could not read again would be made again at every start.
  const checked = recordSchema.safeParse(record)
  if (!checked.success) return malformed(checked.error.issues[0]?.message ?? '')
  const signed = { _type: TYPE, record: JSON.stringify(record) }
  const message = canonicalBytes(signed)
  if (!message.ok) return message
  const sig = toHex(await signer.sign(message.value))
  return ok(envelopeBytes({ signed, signatures: [{ keyid: keyId(signer.key), sig }] }))
}

/** `checkRecord` at once. */
export function openRecord(
  bytes: Uint8Array,
  binding: RecordBinding,
  { key, verifier }: { readonly key: PublicKey; readonly verifier: SyncVerifier },
): Result<QualificationRecord> {
  return checkSync(checkRecord(bytes, binding, key), verifier)
}

/** Codes `record.malformed`, `record.signature`, `record.outdated` with the field that differs. */
export function* checkRecord(
  bytes: Uint8Array,
  binding: RecordBinding,
  key: PublicKey,
): Checking<Result<QualificationRecord>> {
  const opened = openEnvelope(bytes, JSON_LIMITS)
  if (!opened.ok) return malformed(opened.error.message)
  const keys = new Map([[keyId(key), key]])
  if (!(yield* isSignedBy(opened.value, { keys, threshold: 1 }))) {
    return refuse('record.signature', 'A qualification record was not signed by this device.', {
      expected: `a signature of ${keyId(key).slice(0, 12)}`,
      next: 'the release is qualified again',
    })
  }
  const { _type, record: text } = opened.value.signed
  const parsed = recordSchema.safeParse(_type === TYPE ? parse(text) : undefined)
  if (!parsed.success) return malformed(parsed.error.issues[0]?.message ?? '')
  for (const field of Object.keys(binding) as (keyof RecordBinding)[]) {
    const found = parsed.data.binding[field]
    if (found !== binding[field]) return outdated(field, binding[field], found)
  }
  return ok(parsed.data)
}

/** Code `record.missing`. */
export function noRecord(): Result<never> {
  return refuse('record.missing', 'There is no qualification record of this release here.')
}

function parse(text: unknown): unknown {
  try {
    return JSON.parse(String(text))
  } catch {
    return undefined
  }
}

function outdated(field: string, expected: string, found: string): Result<never> {
  return refuse('record.outdated', `The proof was made for another ${field}.`, {
    expected: expected.slice(0, 300),
    found: found.slice(0, 300),
    next: 'the release is qualified again',
  })
}

function malformed(found: string): Result<never> {
  return refuse('record.malformed', 'A qualification record cannot be read.', {
    found: found.slice(0, 300),
    next: 'the release is qualified again',
  })
}
