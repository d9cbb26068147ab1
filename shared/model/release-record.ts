/** What a device keeps of verified release metadata, so that it serves without a network. */
import { z } from 'zod'
import { manifestSchema } from './manifest.ts'
import { countSchema, nameSchema, sha256Schema, timeMsSchema } from './names.ts'

export const releaseRecordSchema = z.strictObject({
  /** Target path of the artifact. */
  target: z.string(),
  manifest: manifestSchema,
  /** The publishers' policy for this release once it is revoked; absent: `serve`. */
  onRevoked: z.enum(['serve', 'stop']).optional(),
  /** Counts the releases of the model; absent in records of older agents. */
  releaseCounter: countSchema.optional(),
})
export type ReleaseRecord = z.infer<typeof releaseRecordSchema>

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
