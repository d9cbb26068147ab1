/**
 * What a device keeps of verified release metadata, so that it serves without a network. Records
 * outlive the agent that wrote them: a change of their form gets another schema id, and the reader
 * goes on knowing the former ones.
 */
import { z } from 'zod'
import { manifestSchema } from './manifest.ts'
import { countSchema, nameSchema, sha256Schema, timeMsSchema } from './names.ts'

const contents = {
  /** Target path of the artifact. */
  target: z.string(),
  manifest: manifestSchema,
  /** The publishers' policy for this release once it is revoked; absent: `serve`. */
  onRevoked: z.enum(['serve', 'stop']).optional(),
  /** Counts the releases of the model; absent in records of older agents. */
  releaseCounter: countSchema.optional(),
}
const recordSchema = z.strictObject({
  schema: z.literal('linnet.release-record.v2'),
  ...contents,
})
/** Until the first schema id there was none. */
const formerSchema = z.strictObject(contents)
export type ReleaseRecord = z.infer<typeof recordSchema>

/** A record of this form or of a former one; undefined when it is neither. */
export function readReleaseRecord(value: unknown): ReleaseRecord | undefined {
  const record = recordSchema.safeParse(value)
  if (record.success) return record.data
  const former = formerSchema.safeParse(value)
  return former.success ? { schema: 'linnet.release-record.v2', ...former.data } : undefined
}

/** By model: the largest `minCounter` that was ever verified. */
export const countersSchema = z.record(nameSchema, countSchema)

/** What trust a device has come to, beyond the metadata themselves. */
export const trustRecordSchema = z.strictObject({
  /** The director epoch that `floorMs` was learned under; another one starts anew. */
  directorEpoch: countSchema,
  /** Newest time that the director signed; the device's time never goes back behind it. */
  floorMs: timeMsSchema,
  /** Releases on this device that the publishers have withdrawn, newest last. */
  revoked: z.array(z.strictObject({ target: z.string(), sha256: sha256Schema })).max(256),
})
export type TrustRecord = z.infer<typeof trustRecordSchema>
