/** What a device keeps of verified release metadata, so that it serves without a network. */
import { z } from 'zod'
import { manifestSchema } from './manifest.ts'
import { countSchema, nameSchema } from './names.ts'

export const releaseRecordSchema = z.strictObject({
  /** Target path of the artifact. */
  target: z.string(),
  manifest: manifestSchema,
})

/** By model: the largest `minCounter` that was ever verified. */
export const countersSchema = z.record(nameSchema, countSchema)
