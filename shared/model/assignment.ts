/**
 * The assignment: the signed desired state of one device. It names releases as verified targets, so
 * it can choose among what the publishers signed and nothing else. Canonical JSON has no fractions:
 * shares are parts per million, times are milliseconds. Who may sign it and when a device accepts it
 * is shared/signing.
 */
import { z } from 'zod'
import {
  countSchema,
  idSchema,
  nameSchema,
  ppmSchema,
  sha256Schema,
  timeMsSchema,
} from './names.ts'

export const assignedSlotSchema = z.strictObject({
  slot: z.enum(['current', 'candidate']),
  model: nameSchema,
  /**
   * Target path of the variant's artifact, `<model>/<version>/<variant>.onnx`; the manifest is the
   * verified target beside it.
   */
  target: z
    .string()
    .max(192)
    .regex(/^[a-z0-9][a-z0-9_-]{0,62}\/\d{1,6}\.\d{1,6}\.\d{1,6}\/[a-z0-9][a-z0-9_-]{0,62}\.onnx$/),
  /** Digest and length of the artifact. */
  sha256: sha256Schema,
  length: z.int().min(1),
  /** Share of requests that draws a candidate; 0 for `current`. */
  trafficShare: ppmSchema,
  /** Share of requests that a candidate computes as well, without serving. */
  shadow: ppmSchema,
})
export type AssignedSlot = z.infer<typeof assignedSlotSchema>

/** Which rollout, and which wave of it, gave a model its slots; telemetry echoes it. */
export const rolloutRefSchema = z.strictObject({ id: idSchema, wave: z.int().min(0).max(1000) })
export type RolloutRef = z.infer<typeof rolloutRefSchema>

export const assignmentSchema = z.strictObject({
  _type: z.literal('assignment'),
  specVersion: z.literal('1'),
  fleet: idSchema,
  device: idSchema,
  /** Fingerprint of the device's key (its TUF key id). */
  deviceKey: sha256Schema,
  /** Raised by every root that changes the director's keys; generations count within it. */
  directorEpoch: countSchema,
  generation: countSchema,
  /** Lowest snapshot version that the device must have verified; 0 asks for none. */
  minSnapshot: countSchema,
  issuedAt: timeMsSchema,
  expiresAt: timeMsSchema,
  cohort: idSchema.nullable(),
  slots: z.array(assignedSlotSchema).max(32).refine(eachSlotOnce, 'a slot of a model twice'),
  telemetry: z.strictObject({
    /** Length of a window. */
    windowMs: z.int().min(1_000).max(86_400_000),
  }),
  /** One entry per model that is under a rollout. */
  rollout: z.array(z.strictObject({ model: nameSchema, ref: rolloutRefSchema })).max(16),
})
export type Assignment = z.infer<typeof assignmentSchema>

function eachSlotOnce(slots: readonly AssignedSlot[]): boolean {
  return new Set(slots.map(({ model, slot }) => `${model}/${slot}`)).size === slots.length
}

/** Model, version and variant of an artifact's target path; the schema has checked its form. */
export function parseTarget(target: string): { model: string; version: string; variant: string } {
  const [model = '', version = '', file = ''] = target.split('/')
  return { model, version, variant: file.replace(/\.onnx$/, '') }
}
