/** The request with which a device asks to join a fleet, signed by the key that it brings. */
import { z } from 'zod'
import { deviceFactsSchema } from './device.ts'
import { idSchema, timeMsSchema } from './names.ts'

/** A device key: Ed25519, or P-256 in browsers whose WebCrypto has nothing else. */
const devicePublicKeySchema = z.strictObject({
  keytype: z.enum(['ed25519', 'ecdsa']),
  scheme: z.enum(['ed25519', 'ecdsa-sha2-nistp256']),
  keyval: z.strictObject({ public: z.string().min(1).max(1_024) }),
})

export const enrolmentSchema = z.strictObject({
  _type: z.literal('enrolment'),
  specVersion: z.literal('1'),
  fleet: idSchema,
  device: idSchema,
  token: z.string().min(1).max(512),
  /** Drawn for this request alone. */
  nonce: z.string().regex(/^[0-9a-f]{32,128}$/),
  /** By the device's clock. Of a member's requests only later ones count. */
  issuedAt: timeMsSchema.optional(),
  facts: deviceFactsSchema,
  publicKey: devicePublicKeySchema,
})
export type Enrolment = z.infer<typeof enrolmentSchema>
