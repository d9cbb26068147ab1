/**
 * Messages as they wait on a device: the same content as on the wire, with or without their stamp.
 * One text for each change of the spool, so that a journal can be replayed.
 */
import { z } from 'zod'
import { deviceNoticeSchema } from '../model/device.ts'
import { idSchema } from '../model/names.ts'
import { telemetrySchema } from './messages.ts'

/** Given at the first send; from then on the message never changes. */
const stampSchema = z.strictObject({ boot: idSchema, seq: z.int().min(1) })
export type Stamp = z.infer<typeof stampSchema>

const entrySchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('interval'),
    id: z.int().min(1),
    stamp: stampSchema.nullable(),
    interval: telemetrySchema.omit({ boot: true, seq: true }),
  }),
  z.strictObject({
    kind: z.literal('notice'),
    id: z.int().min(1),
    stamp: stampSchema.nullable(),
    notice: deviceNoticeSchema,
  }),
])
export type SpoolEntry = z.infer<typeof entrySchema>
export type SpooledInterval = Extract<SpoolEntry, { kind: 'interval' }>

/** One record of the journal. */
const recordSchema = z.union([
  z.tuple([z.literal('put'), entrySchema]),
  z.tuple([z.literal('stamp'), z.int(), stampSchema]),
  z.tuple([z.literal('forget'), z.array(z.int())]),
])
export type SpoolRecord = z.infer<typeof recordSchema>

/** @returns undefined for a record of another version of the agent, or a damaged one. */
export function parseRecord(text: string): SpoolRecord | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
