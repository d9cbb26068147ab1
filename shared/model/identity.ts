/** What a device knows of itself once it is a member of a fleet; the key is kept apart. */
import { z } from 'zod'
import { idSchema } from './names.ts'

const membership = {
  fleet: idSchema,
  device: idSchema,
  mqttUrl: z.string().max(512),
  wsUrl: z.string().max(512),
}

/** As it is stored on the device. */
export const identitySchema = z.strictObject({
  schema: z.literal('linnet.identity.v1'),
  ...membership,
  /** Kept for good: the token said so, on its way from the publishers, not the controller. */
  staging: z.literal(true).optional(),
})
export type Identity = z.infer<typeof identitySchema>

/** The controller's answer to an enrolment; a newer controller may say more. */
export const enrolmentAnswerSchema = z.object(membership)
