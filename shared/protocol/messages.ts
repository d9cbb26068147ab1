/**
 * The meaning of every message, one zod schema per topic. What does not validate is counted, sampled
 * to the log and never merged. How a message becomes bytes is codec.ts; who signed them is frame.ts.
 */
import { z } from 'zod'
import { rolloutRefSchema } from '../model/assignment.ts'
import {
  deviceNoticeSchema,
  presenceSchema,
  qualificationSchema,
  reportSchema,
} from '../model/device.ts'
import {
  countSchema,
  idSchema,
  nameSchema,
  ppmSchema,
  timeMsSchema,
  versionSchema,
} from '../model/names.ts'
import { type Window, windowSchema } from '../sketch/window.ts'

/** Every message up carries these: losses can be counted and duplicates dropped by (boot, seq). */
const stampShape = {
  /** Random per start of the agent. */
  boot: idSchema,
  /** Grows by one per message of a boot, from 1. */
  seq: countSchema,
}

const armSchema = z.enum(['baseline', 'canary'])
export type Arm = z.infer<typeof armSchema>

/**
 * One interval of one model. Both arms travel in one message: counts of canary and baseline that
 * arrive apart make false rollbacks (statistics.md, label record). `share` is the canary's share at
 * the draw; an interval never spans a change of it.
 */
const telemetryOf = (window: z.ZodType<Window>) =>
  z.strictObject({
    ...stampShape,
    model: nameSchema,
    generation: countSchema,
    rollout: rolloutRefSchema.nullable(),
    share: ppmSchema,
    startedAtMs: timeMsSchema,
    durationMs: countSchema,
    /** What each arm did. */
    arms: z
      .array(
        z.strictObject({ arm: armSchema, version: versionSchema, variant: nameSchema, window }),
      )
      .min(1)
      .max(2),
  })
export const telemetrySchema = telemetryOf(windowSchema)
/** Of messages whose windows `windowFromWire` has made: they are not looked through again. */
export const telemetryOfCheckedWindowsSchema = telemetryOf(
  z.custom<Window>((value) => typeof value === 'object' && value !== null),
)
export type Telemetry = z.infer<typeof telemetrySchema>

export const reportMessageSchema = z.strictObject({
  ...stampShape,
  atMs: timeMsSchema,
  report: reportSchema,
  /** Qualification records of the releases in slots, newest first. */
  qualifications: z.array(qualificationSchema).max(8),
})
export type ReportMessage = z.infer<typeof reportMessageSchema>

export const noticeMessageSchema = z.strictObject({ ...stampShape, notice: deviceNoticeSchema })
export type NoticeMessage = z.infer<typeof noticeMessageSchema>

export const presenceMessageSchema = presenceSchema
export type PresenceMessage = z.infer<typeof presenceMessageSchema>

/** Down, signed by the director: these sequence numbers of this boot are committed; forget them. */
export const ackSchema = z.strictObject({
  fleet: idSchema,
  device: idSchema,
  boot: idSchema,
  stored: z.array(countSchema).min(1).max(256),
})
export type Ack = z.infer<typeof ackSchema>

/** Hint without a signature, effect capped: look for a new assignment within `jitterMs`. */
export const pulseSchema = z.strictObject({ jitterMs: z.int().min(0).max(600_000) })

/** Retained, with a last will: every device may read it. */
export const controllerStateSchema = z.strictObject({
  status: z.enum(['online', 'lost', 'offline']),
  epoch: idSchema,
  retryAfterMs: z.int().min(0).max(600_000),
})
export type ControllerState = z.infer<typeof controllerStateSchema>
