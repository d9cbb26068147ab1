/** What a device is and says of itself: facts at enrolment, then its reported state. */
import { z } from 'zod'
import type { Problem } from '../kernel/result.ts'
import { attackKindSchema } from './attack.ts'
import {
  countSchema,
  idSchema,
  nameSchema,
  ppmSchema,
  sha256Schema,
  timeMsSchema,
  versionSchema,
} from './names.ts'
import { executionProviderSchema } from './profile.ts'

export const labelsSchema = z.record(nameSchema, z.string().max(64))

/** Facts that change with the device's software only. */
export const deviceFactsSchema = z.strictObject({
  profile: nameSchema,
  agentVersion: z.string().max(32),
  runtimeVersion: z.string().max(32),
  platform: z.string().max(64),
  cores: z.int().min(1).max(4096),
  memoryMb: z.int().min(1),
  /** `site: hall-2`; rollouts select by them. */
  labels: labelsSchema,
  /** It takes releases that are not proven yet, as it was installed or told by its token to. */
  staging: z.boolean().optional(),
})
export type DeviceFacts = z.infer<typeof deviceFactsSchema>

/** Why something was refused or failed, as it travels and is stored: bounded text, stable code. */
export const problemSchema = z.strictObject({
  code: z.string().max(64),
  message: z.string().max(512),
  expected: z.string().max(512).optional(),
  found: z.string().max(512).optional(),
  next: z.string().max(512).optional(),
})

/** Cuts what is too long to travel, so that a verbose error cannot make a message invalid. */
export function boundProblem({ code, message, ...details }: Problem): Problem {
  const cut = Object.entries(details).flatMap(([key, text]) =>
    text === undefined ? [] : [[key, text.slice(0, 512)]],
  )
  return { code: code.slice(0, 64), message: message.slice(0, 512), ...Object.fromEntries(cut) }
}

/** Whether requests of a release run together on this device, and why not. */
export const batchingSchema = z.strictObject({
  /** Most rows in one run; 1: each request by itself. */
  chosen: z.int().min(1).max(64),
  /** Why not; empty where requests run together. */
  reason: z.string().max(300),
  /** One request by itself, measured beside the batches; 0 where none was tried. */
  singleMs: z.number().min(0),
  tried: z
    .array(
      z.strictObject({
        rows: z.int().min(2).max(64),
        /** Time of a run by its requests; null when the outputs were wrong. */
        msPerRequest: z.number().min(0).nullable(),
        /** Largest difference from the same requests run singly; null when it did not run. */
        differenceMax: z.number().nullable(),
      }),
    )
    .max(8),
})
export type Batching = z.infer<typeof batchingSchema>

const tuningSchema = z.strictObject({
  budgetMs: z.number().min(0),
  spentMs: z.number().min(0),
  tried: z
    .array(
      z.strictObject({
        options: z.string().max(120),
        outcome: z.enum(['chosen', 'passed', 'refused', 'skipped']),
        steadyMsP50: z.number().nullable(),
        reason: z.string().max(200),
      }),
    )
    .max(24),
})

const optimisedSchema = z.strictObject({
  kept: z.boolean(),
  reason: z.string().max(200),
  sha256: sha256Schema.or(z.literal('')),
  length: countSchema,
  loadMs: z.number().nullable(),
  sourceLoadMs: z.number().nullable(),
})

/** What qualification tried on this device, and what it chose. */
export const qualificationSchema = z.strictObject({
  sha256: sha256Schema,
  runtimeVersion: z.string().max(32),
  chosen: executionProviderSchema,
  attempts: z
    .array(
      z.strictObject({
        provider: executionProviderSchema,
        options: z.string().max(200),
        outcome: z.enum(['chosen', 'passed', 'refused', 'unavailable']),
        reason: z.string().max(300),
        /** Largest absolute difference from the golden outputs; null when it did not run. */
        goldenDifferenceMax: z.number().nullable(),
      }),
    )
    .max(16),
  loadMs: z.number().min(0),
  firstRunMs: z.number().min(0),
  steadyMsP50: z.number().min(0),
  steadyMsP95: z.number().min(0),
  /** Of the process that proved it; 0 where the system does not tell. */
  residentMb: z.number().min(0),
  peakMb: z.number().min(0).nullable().optional(),
  /** Of that what the session took, as hosts admit it to their memory. */
  sessionMb: z.number().min(0).exactOptional(),
  threads: z.int().min(1),
  /** Which settings were compared with the default; the first is the default. */
  tuning: tuningSchema.optional(),
  /** The model file as ONNX Runtime optimised it, and whether it pays. */
  optimised: optimisedSchema.optional(),
  /** What ended the tuning or the making of that file early; the proof stands. */
  cut: z.string().max(300).optional(),
  /** Absent where it was not looked at. */
  batching: batchingSchema.optional(),
})
export type Qualification = z.infer<typeof qualificationSchema>

/** A release as it stands in a slot of a device. */
export const slotReportSchema = z.strictObject({
  slot: z.enum(['current', 'candidate', 'previous']),
  model: nameSchema,
  version: versionSchema,
  variant: nameSchema,
  sha256: sha256Schema,
  provider: executionProviderSchema,
  trafficShare: ppmSchema,
})
export type SlotReport = z.infer<typeof slotReportSchema>

/** The phases of bringing a release onto a device. */
export const jobPhaseSchema = z.enum([
  'resolving',
  'fetching',
  'verifying',
  'qualifying',
  'waiting',
  'staged',
])
export type JobPhase = z.infer<typeof jobPhaseSchema>

/** A refusal that looked like an attack. */
const attackReportSchema = z.strictObject({
  kind: attackKindSchema,
  subject: z.string().max(160),
  /** By the device's clock; another one each time that it is seen again. */
  atMs: timeMsSchema,
  /** When the controller heard of it, by its own clock, whatever a device says. */
  receivedAtMs: timeMsSchema.optional(),
})
export type AttackReport = z.infer<typeof attackReportSchema>

/** The reported state: which generation the device is at and what it runs. */
export const reportSchema = z.strictObject({
  /** Order of the assignment that the device follows. */
  directorEpoch: countSchema,
  generation: countSchema,
  /** `applied` once every slot serves as assigned; `degraded` when a release of it failed here. */
  status: z.enum(['idle', 'working', 'applied', 'degraded']),
  slots: z.array(slotReportSchema).max(96),
  job: z
    .strictObject({ model: nameSchema, version: versionSchema, phase: jobPhaseSchema })
    .nullable(),
  /** Releases that failed on this device and are not tried again for the same rollout. */
  failures: z
    .array(
      z.strictObject({
        model: nameSchema,
        version: versionSchema,
        sha256: sha256Schema,
        problem: problemSchema,
      }),
    )
    .max(16),
  /** The newest refusal of each kind of attack since the start; absent when there was none. */
  attacks: z.array(attackReportSchema).max(7).optional(),
  /** Release metadata have expired: it serves what it has and takes nothing new. */
  frozen: z.boolean().optional(),
})
export type Report = z.infer<typeof reportSchema>

/** Something that happened on a device and that a person may want to know. */
export const deviceNoticeSchema = z.strictObject({
  kind: z.enum([
    'assignment_refused',
    'release_failed',
    'rolled_back',
    'host_restarted',
    /** There are more or fewer model hosts, or there should be and cannot. */
    'hosts_scaled',
    /** A proof was made again: its record did not hold, or its optimised file was not what it says. */
    'proved_again',
    /** The device cannot write: its disk is full, read-only or broken. */
    'disk_failed',
    /** Somebody at the device took an assigned model out of service, or brought it back. */
    'changed_locally',
    'spool_overflow',
    'drift_alarm',
    /** Something on the way to the device was refused; what serves is untouched. */
    'attack',
    /** The publishers withdrew a release that this device holds. */
    'release_revoked',
    'frozen',
  ]),
  atMs: timeMsSchema,
  subject: z.string().max(160),
  problem: problemSchema,
  /** The attack that the problem looked like, where it looked like one. */
  attack: attackKindSchema.optional(),
  /** How often it happened since it was last told, this time included; absent: once. */
  times: countSchema.optional(),
})
export type DeviceNotice = z.infer<typeof deviceNoticeSchema>

/**
 * Presence, retained on `up/state`; the last will says `lost`. `sinceMs` names the connection: a will
 * and the `online` of its connection carry the same, and it grows with every connection of a boot.
 */
export const presenceSchema = z.strictObject({
  status: z.enum(['online', 'lost', 'offline']),
  boot: idSchema,
  sinceMs: timeMsSchema,
})
export type Presence = z.infer<typeof presenceSchema>
