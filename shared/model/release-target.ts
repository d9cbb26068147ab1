/**
 * What the publishers sign about each file of a release, as custom data of its TUF target. Devices
 * compare it with what they are, so that no assignment can give them a release of another model or
 * profile, or one that was superseded.
 */
import { z } from 'zod'
import { countSchema, nameSchema, versionSchema } from './names.ts'

export const releaseTargetSchema = z.strictObject({
  model: nameSchema,
  version: versionSchema,
  /** Firmware profiles that may run it; empty means any. */
  profiles: z.array(nameSchema).max(64),
  /** Grows with every release of the model. */
  releaseCounter: countSchema,
  /** Releases of the model with a lower counter are superseded. */
  minCounter: countSchema,
  /** What a device does when this release is revoked and nothing else is left; absent: `serve`. */
  onRevoked: z.enum(['serve', 'stop']).optional(),
})
export type ReleaseTarget = z.infer<typeof releaseTargetSchema>
