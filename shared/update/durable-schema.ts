/**
 * The form of the durable state as it is stored: what was written by another version, or spoilt, is
 * not taken for a state.
 */
import { z } from 'zod'
import { assignmentSchema, rolloutRefSchema } from '../model/assignment.ts'
import { problemSchema, qualificationSchema } from '../model/device.ts'
import { countSchema, nameSchema, ppmSchema, sha256Schema, versionSchema } from '../model/names.ts'
import type { DurableState } from './state.ts'

const releaseShape = {
  model: nameSchema,
  version: versionSchema,
  variant: nameSchema,
  target: z.string().max(192),
  sha256: sha256Schema,
  length: z.int().min(1),
}
const installedSchema = z.strictObject({ ...releaseShape, qualification: qualificationSchema })
export const durableSchema: z.ZodType<DurableState> = z.strictObject({
  schema: z.literal('linnet.device.v1'),
  order: z.strictObject({
    directorEpoch: countSchema,
    generation: z.int().min(-1),
    digest: z.string().max(64),
  }),
  desired: assignmentSchema.nullable(),
  models: z.array(
    z.strictObject({
      model: nameSchema,
      current: installedSchema.nullable(),
      candidate: installedSchema.nullable(),
      previous: installedSchema.nullable(),
      trafficShare: ppmSchema,
      shadow: ppmSchema,
      rollout: rolloutRefSchema.nullable(),
    }),
  ),
  staged: z.array(installedSchema),
  failures: z.array(
    z.strictObject({
      release: z.strictObject(releaseShape),
      rollout: z.string().nullable(),
      problem: problemSchema,
    }),
  ),
})
