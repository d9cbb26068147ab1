/** How many requests of a release may run together, as it was proved on this device. */
import { z } from 'zod'
import type { BatchLayout } from './plane/stack-batch.ts'

export interface BatchSettings {
  /** Most rows in one run, over all its requests. */
  readonly rowsMax: number
  readonly layout: BatchLayout
}

/** `auto`: qualification tries whether requests may run together, and whether that pays. */
export type BatchChoice = 'auto' | 'off'

const axesSchema = z.record(z.string().max(256), z.int().min(0).max(15).nullable())
const batchSettingsSchema = z.strictObject({
  rowsMax: z.int().min(2).max(64),
  layout: z.strictObject({ inputs: axesSchema, outputs: axesSchema }),
})

/** From where it was kept; whatever cannot be read means that each request runs by itself. */
export function readBatchSettings(kept: unknown): BatchSettings | null {
  const parsed = batchSettingsSchema.safeParse(kept)
  return parsed.success ? parsed.data : null
}
