/**
 * The file of a key pair: public half readable, private half encrypted or, where a service must
 * start unattended, not. Reading, writing and the ciphers are `shared/node/key-files.ts`.
 */
import { z } from 'zod'

const base64 = z.base64().max(16_384)
export const keyFileSchema = z.strictObject({
  schema: z.literal('linnet.key.v1'),
  keyid: z.string(),
  key: z.strictObject({
    keytype: z.string(),
    scheme: z.string(),
    keyval: z.strictObject({ public: z.string() }),
  }),
  private: z.discriminatedUnion('protection', [
    z.strictObject({ protection: z.literal('none'), pkcs8: base64 }),
    z.strictObject({
      protection: z.literal('scrypt+aes-256-gcm'),
      log2Cost: z.int().min(10).max(20),
      salt: base64,
      nonce: base64,
      tag: base64,
      ciphertext: base64,
    }),
  ]),
})
export type KeyFile = z.infer<typeof keyFileSchema>
