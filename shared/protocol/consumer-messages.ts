/**
 * What telemetry consumers read under `c/`, always JSON: one zod schema per topic. `c/state` is in
 * messages.ts, because devices read it too.
 */
import { z } from 'zod'
import { countSchema, idSchema, nameSchema, timeMsSchema, versionSchema } from '../model/names.ts'

const latencySchema = z.number().min(0).nullable()

/** `c/aggregate/{model}/{release}/{profile}`: one minute of one release on one class of devices. */
export const aggregateSchema = z.strictObject({
  schema: z.literal('linnet.aggregate.v1'),
  fleet: idSchema,
  model: nameSchema,
  version: versionSchema,
  profile: nameSchema,
  /** Start of the minute. Late windows of devices are not added: aggregates are for watching. */
  atMs: timeMsSchema,
  /** Device windows in it. */
  windows: countSchema,
  requests: countSchema,
  errors: countSchema,
  /** Requests over the release's latency limit. */
  latencyBad: countSchema,
  labelled: countSchema,
  correct: countSchema,
  /** Requests that a candidate computed in the shadow of the served release, and other answers. */
  shadowCompared: countSchema,
  shadowDisagreed: countSchema,
  /** Of the total latency; null without requests. Relative error 1.1 %. */
  latencyMsP50: latencySchema,
  latencyMsP95: latencySchema,
  latencyMsP99: latencySchema,
})
export type Aggregate = z.infer<typeof aggregateSchema>

/** `c/alert/{severity}`: a decision about a rollout, or something that happened on a device. */
export const alertSchema = z.strictObject({
  schema: z.literal('linnet.alert.v1'),
  fleet: idSchema,
  severity: z.enum(['info', 'warning', 'critical']),
  atMs: timeMsSchema,
  /** `rollout/r1`, `device/press-1`. */
  subject: z.string().max(160),
  code: z.string().max(64),
  sentence: z.string().max(1_024),
})
export type Alert = z.infer<typeof alertSchema>
