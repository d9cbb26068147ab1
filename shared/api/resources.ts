/**
 * What the controller says over HTTP: one zod schema per resource. Routes bind them (routes.ts),
 * the OpenAPI document is generated from them, CLI and console are typed by them.
 */
import { z } from 'zod'
import { verdictSchema } from '../judge/verdict.ts'
import { rolloutRefSchema } from '../model/assignment.ts'
import {
  deviceFactsSchema,
  deviceNoticeSchema,
  presenceSchema,
  problemSchema,
  qualificationSchema,
  reportSchema,
} from '../model/device.ts'
import { manifestSchema } from '../model/manifest.ts'
import {
  countSchema,
  idSchema,
  nameSchema,
  ppmSchema,
  sha256Schema,
  timeMsSchema,
  versionSchema,
} from '../model/names.ts'
import { roleSchema } from '../model/role.ts'
import { rolloutSpecSchema } from '../rollout/spec.ts'

/** What the controller wants of one model on one device. */
const desiredModelSchema = z.strictObject({
  model: nameSchema,
  current: versionSchema,
  candidate: versionSchema.nullable(),
  trafficShare: ppmSchema,
  shadow: ppmSchema,
  rollout: rolloutRefSchema.nullable(),
})

export const deviceResourceSchema = z.strictObject({
  device: idSchema,
  fleet: idSchema,
  deviceKey: sha256Schema,
  facts: deviceFactsSchema,
  enrolledAtMs: timeMsSchema,
  presence: presenceSchema.nullable(),
  lastSeenMs: timeMsSchema.nullable(),
  generation: countSchema,
  desired: z.array(desiredModelSchema),
  report: reportSchema.nullable(),
  qualifications: z.array(qualificationSchema),
  /** Newest first, at most 50. */
  notices: z.array(deviceNoticeSchema).max(50),
  /** Why it cannot be given what it should run, for each release; absent when it can. */
  unfit: z.array(problemSchema).max(64).optional(),
  /** Desired and reported agree. */
  converged: z.boolean(),
  /** Absent for members: `pending` waits for an operator's approval. */
  membership: z.enum(['pending', 'revoked']).optional(),
})
export type DeviceResource = z.infer<typeof deviceResourceSchema>

export const releaseResourceSchema = z.strictObject({
  model: nameSchema,
  version: versionSchema,
  stage: z.enum(['registered', 'staging', 'production', 'archived']),
  publishedAtMs: timeMsSchema,
  publishedBy: z.string().max(64),
  manifestSha256: sha256Schema,
  manifest: manifestSchema,
  /** Key ids whose signatures over the targets hold. */
  signedBy: z.array(sha256Schema),
  /** The delegated role that lists it; absent where the top-level targets do. */
  role: z.string().max(80).optional(),
  /** Devices that have it in a serving slot. */
  devices: countSchema,
})
export type ReleaseResource = z.infer<typeof releaseResourceSchema>

/** Counts of one arm that a verdict was made from, of one profile or of all (`*`). */
const armCountsSchema = z.strictObject({
  requests: countSchema,
  errors: countSchema,
  latencyBad: countSchema,
  labelled: countSchema,
  correct: countSchema,
  shadowCompared: countSchema,
  shadowDisagreed: countSchema,
})

const evidenceSchema = z.strictObject({
  profile: z.string().max(64),
  /** null where no release served before. */
  baseline: armCountsSchema.nullable(),
  canary: armCountsSchema,
})

const reasonSchema = z.strictObject({ code: z.string(), sentence: z.string() })

export const rolloutStateSchema = z.enum([
  'draft',
  'awaiting_approval',
  'ready',
  'running',
  'paused',
  'rolling_back',
  'rolled_back',
  'promoted',
  'aborted',
  'failed',
])

export const rolloutResourceSchema = z.strictObject({
  id: idSchema,
  spec: rolloutSpecSchema,
  state: rolloutStateSchema,
  wave: countSchema,
  wavePhase: z.enum(['starting', 'observing', 'passed']),
  reason: reasonSchema,
  approvedBy: z.array(z.string()),
  createdBy: z.string(),
  createdAtMs: timeMsSchema,
  startedAtMs: timeMsSchema.nullable(),
  waveStartedAtMs: timeMsSchema.nullable(),
  endedAtMs: timeMsSchema.nullable(),
  verdict: verdictSchema.nullable(),
  /** Merged counts of the running wave, pooled (`*`) first. */
  evidence: z.array(evidenceSchema),
  /** Requests that the candidate answered since the rollout began, and how many of them were bad. */
  totals: z.strictObject({ canaryRequests: countSchema, canaryBad: countSchema }),
  /** The targeted devices; empty in lists once the rollout has ended. */
  devices: z.array(
    z.strictObject({
      device: idSchema,
      profile: nameSchema,
      inCohort: z.boolean(),
      online: z.boolean(),
      candidate: z.enum(['absent', 'installing', 'serving', 'failed']),
      failureCode: z.string().nullable(),
    }),
  ),
  /** Commands that the caller may give now. */
  allowed: z.array(z.string()),
})
export type RolloutResource = z.infer<typeof rolloutResourceSchema>

export const decisionResourceSchema = z.strictObject({
  id: countSchema,
  rollout: idSchema,
  atMs: timeMsSchema,
  actor: z.string(),
  action: z.string(),
  from: rolloutStateSchema,
  to: rolloutStateSchema,
  wave: countSchema,
  reason: reasonSchema,
  verdict: verdictSchema.nullable(),
  /** SHA-256 of the merged counts that the verdict was made from. */
  inputsDigest: z.string(),
  inputs: z.array(evidenceSchema),
})
export type DecisionResource = z.infer<typeof decisionResourceSchema>

export const healthResourceSchema = z.strictObject({
  status: z.enum(['ok', 'degraded']),
  fleet: idSchema,
  version: z.string(),
  startedAtMs: timeMsSchema,
  devices: z.strictObject({ enrolled: countSchema, online: countSchema }),
  /** What was received, merged, dropped as duplicate, refused by code. */
  messages: z.strictObject({
    received: countSchema,
    merged: countSchema,
    duplicates: countSchema,
    refused: z.record(z.string(), countSchema),
  }),
  broker: z.strictObject({ clients: countSchema, refused: z.record(z.string(), countSchema) }),
  /** Null until a root was uploaded: nothing can be assigned before. */
  rootVersion: countSchema.nullable(),
  /** When what people signed offline must be signed again at the latest. */
  rootExpiresAtMs: timeMsSchema.optional(),
  targetsExpireAtMs: timeMsSchema.optional(),
  /** Which of them expires first: `targets`, or a role that it delegates to. */
  expiringRole: z.string().max(80).optional(),
})
export type HealthResource = z.infer<typeof healthResourceSchema>

/** The commands of rollout/commands.ts, as they travel. */
export const rolloutCommandSchema = z.enum([
  'start',
  'approve',
  'deny',
  'pause',
  'resume',
  'promote',
  'abort',
  'rollback',
])

/** An operator's token without its secret. */
export const tokenResourceSchema = z.strictObject({
  name: nameSchema,
  role: roleSchema,
  createdAtMs: timeMsSchema,
  expiresAtMs: timeMsSchema.nullable(),
})
export type TokenResource = z.infer<typeof tokenResourceSchema>

/** A token that admits devices, without its secret: how it is listed. */
export const enrolmentTokenResourceSchema = z.strictObject({
  id: z.string().max(64),
  usesLeft: countSchema,
  expiresAtMs: timeMsSchema,
  labels: z.record(z.string(), z.string()),
  staging: z.boolean().optional(),
  createdBy: z.string(),
  createdAtMs: timeMsSchema,
})
export type EnrolmentTokenResource = z.infer<typeof enrolmentTokenResourceSchema>

/** One server-sent event: what changed, to be asked for again. Its id is the event id. */
const changeResourceSchema = z.strictObject({
  id: countSchema,
  kind: z.enum(['device', 'release', 'rollout', 'decision', 'notice']),
  subject: z.string().max(160),
})
export type ChangeResource = z.infer<typeof changeResourceSchema>

/** Every refusal over HTTP has this body. */
export const errorResourceSchema = z.strictObject({ error: problemSchema })
