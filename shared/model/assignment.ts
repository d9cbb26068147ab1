/**
 * The assignment: the signed desired state of one device. Only the vocabulary stands here; who may
 * sign it and when a device accepts it is shared/signing.
 */
import { z } from 'zod'
import { idSchema, nameSchema, ppmSchema, sha256Schema, timeMsSchema } from './names.ts'

/** A target of the release repository: `<model>/<version>/<variant>.onnx`. */
export const assignmentSlotSchema = z.strictObject({
  slot: z.enum(['current', 'candidate']),
  model: nameSchema,
  target: z
    .string()
    .max(256)
    .regex(/^[a-z0-9][a-z0-9_-]{0,62}\/\d{1,6}\.\d{1,6}\.\d{1,6}\/[a-z0-9][a-z0-9._-]{0,95}$/),
  sha256: sha256Schema,
  length: z.int().min(1),
  /** Share of requests, parts per million, that draws this slot; 0 for `current`. */
  trafficShare: ppmSchema,
  /** Share of requests, parts per million, that this slot computes without serving. */
  shadow: ppmSchema,
})
export type AssignmentSlot = z.infer<typeof assignmentSlotSchema>

/** Which rollout and which of its waves a device serves; echoed in its telemetry. */
export const rolloutRefSchema = z.strictObject({ id: idSchema, wave: z.int().min(0).max(1000) })
export type RolloutRef = z.infer<typeof rolloutRefSchema>

export const assignmentSchema = z.strictObject({
  _type: z.literal('assignment'),
  specVersion: z.string().max(16),
  fleet: idSchema,
  device: idSchema,
  /** Fingerprint of the device key: a re-enrolled device does not accept its predecessor's orders. */
  deviceKey: sha256Schema,
  directorEpoch: z.int().min(0),
  generation: z.int().min(0),
  /** Version of the snapshot that the device must have seen at least. */
  minSnapshot: z.int().min(0),
  issuedAt: timeMsSchema,
  expiresAt: timeMsSchema,
  cohort: idSchema,
  slots: z.array(assignmentSlotSchema).max(32),
  telemetry: z.strictObject({ intervalSeconds: z.int().min(1).max(86_400) }),
  /** One entry per model under a rollout. */
  rollout: z.array(z.strictObject({ model: nameSchema, ref: rolloutRefSchema })).max(16),
})
export type Assignment = z.infer<typeof assignmentSchema>

export const ASSIGNMENT_BYTES_MAX = 65_536

/** Model, version and file of a slot's target. The schema has checked the form. */
export function parseTarget(target: string): { model: string; version: string; file: string } {
  const [model = '', version = '', file = ''] = target.split('/')
  return { model, version, file }
}
