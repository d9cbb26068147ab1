/**
 * What travels over each endpoint, as zod schemas: the controller binds and checks them, OpenAPI
 * and the client's types come from them. Lists are wrapped in an object so that they can grow
 * fields.
 */
import { z } from 'zod'
import { auditEntrySchema, signedAuditHeadSchema } from '../model/audit.ts'
import { labelsSchema } from '../model/device.ts'
import {
  countSchema,
  idSchema,
  nameSchema,
  sha256Schema,
  timeMsSchema,
  timeNonceSchema,
  versionSchema,
} from '../model/names.ts'
import { roleSchema } from '../model/role.ts'
import { rolloutSpecSchema } from '../rollout/spec.ts'
import type { EndpointId } from './endpoints.ts'
import {
  decisionResourceSchema,
  deviceResourceSchema,
  enrolmentTokenResourceSchema,
  healthResourceSchema,
  releaseResourceSchema,
  rolloutCommandSchema,
  rolloutResourceSchema,
  rolloutStateSchema,
  tokenResourceSchema,
} from './resources.ts'

interface RouteShape {
  readonly params: z.ZodObject
  readonly query: z.ZodObject
  /** What a JSON body must be; `z.undefined()` where the body is none or bytes. */
  readonly body: z.ZodType
  /** What a JSON answer is; `z.unknown()` where the answer is something else. */
  readonly response: z.ZodType
}

const nothing = z.strictObject({})
const noBody = z.undefined()

function shape<
  P extends z.ZodObject = typeof nothing,
  Q extends z.ZodObject = typeof nothing,
  B extends z.ZodType = typeof noBody,
  R extends z.ZodType = z.ZodUnknown,
>(parts: { params?: P; query?: Q; body?: B; response?: R }) {
  return {
    params: (parts.params ?? nothing) as P,
    query: (parts.query ?? nothing) as Q,
    body: (parts.body ?? noBody) as B,
    response: (parts.response ?? z.unknown()) as R,
  }
}

const noteSchema = z.string().max(500).default('')
const loginCodeSchema = z.string().regex(/^[A-Za-z0-9_-]{20,64}$/)
const done = z.strictObject({ done: z.literal(true) })
const rolloutParams = z.strictObject({ id: idSchema })

const onlineRoleSchema = z.enum(['director', 'snapshot', 'timestamp'])
const onlineKeysSchema = z.strictObject({
  fleet: idSchema,
  keys: z.array(
    z.strictObject({
      role: onlineRoleSchema,
      keyId: sha256Schema,
      key: z.strictObject({
        keytype: z.string(),
        scheme: z.string(),
        keyval: z.strictObject({ public: z.string() }),
      }),
    }),
  ),
})

const publishedRolesSchema = z.strictObject({
  releases: z.array(z.string()),
  /** Delegated roles that more of their keys have to sign; see `waiting.ROLE.json`. */
  waiting: z.array(
    z.strictObject({ role: z.string(), signatures: countSchema, threshold: countSchema }),
  ),
})

/** The body of `rolesPut`: metadata as they were signed, by role. */
export const roleFilesSchema = z.record(z.string().max(80), z.string())

export const ROUTES = {
  alive: shape({ response: z.strictObject({ status: z.literal('ok'), version: z.string() }) }),
  metrics: shape({}),
  openapi: shape({ response: z.record(z.string(), z.unknown()) }),
  login: shape({ query: z.strictObject({ code: loginCodeSchema }) }),
  session: shape({
    response: z.strictObject({ name: z.string(), role: roleSchema, fleet: idSchema }),
  }),
  logout: shape({ response: done }),
  loginLinkCreate: shape({
    body: z.strictObject({ role: roleSchema.default('admin') }),
    response: z.strictObject({ url: z.string(), expiresAtMs: timeMsSchema }),
  }),
  tokenList: shape({ response: z.strictObject({ tokens: z.array(tokenResourceSchema) }) }),
  tokenCreate: shape({
    body: z.strictObject({
      name: nameSchema,
      role: roleSchema,
      expiresInSeconds: z.int().min(60).max(31_536_000).nullable().default(null),
    }),
    response: z.strictObject({ token: z.string(), entry: tokenResourceSchema }),
  }),
  tokenRevoke: shape({ params: z.strictObject({ name: nameSchema }), response: done }),

  audit: shape({
    query: z.strictObject({
      /** Entries with a greater id; without it the newest ones. */
      after: z.coerce.number().int().min(0).optional(),
      limit: z.coerce.number().int().min(1).max(1_000).default(200),
    }),
    response: z.strictObject({
      entries: z.array(auditEntrySchema),
      head: signedAuditHeadSchema.nullable(),
    }),
  }),
  health: shape({ response: healthResourceSchema }),
  events: shape({}),

  enrol: shape({
    response: z.strictObject({
      fleet: idSchema,
      device: idSchema,
      mqttUrl: z.string(),
      wsUrl: z.string(),
    }),
  }),
  enrolmentTokenCreate: shape({
    body: z.strictObject({
      uses: z.int().min(1).max(100_000).default(1),
      expiresInSeconds: z.int().min(60).max(31_536_000).default(3_600),
      labels: labelsSchema.default({}),
      staging: z.boolean().default(false),
    }),
    response: z.strictObject({ token: z.string(), expiresAtMs: timeMsSchema }),
  }),
  enrolmentTokenList: shape({
    response: z.strictObject({ tokens: z.array(enrolmentTokenResourceSchema) }),
  }),
  enrolmentTokenRevoke: shape({ params: z.strictObject({ id: idSchema }), response: done }),
  deviceRevoke: shape({
    params: z.strictObject({ device: idSchema }),
    body: z.strictObject({ note: noteSchema }),
    response: done,
  }),
  deviceApprove: shape({
    params: z.strictObject({ device: idSchema }),
    body: z.strictObject({}),
    response: done,
  }),
  deviceList: shape({ response: z.strictObject({ devices: z.array(deviceResourceSchema) }) }),
  deviceShow: shape({
    params: z.strictObject({ device: idSchema }),
    response: deviceResourceSchema,
  }),
  deviceAssignment: shape({ params: z.strictObject({ device: idSchema }) }),
  deviceTime: shape({
    params: z.strictObject({ device: idSchema }),
    query: z.strictObject({ nonce: timeNonceSchema }),
  }),

  onlineKeys: shape({ response: onlineKeysSchema }),
  onlineKeysPrepare: shape({
    body: z.strictObject({ roles: z.array(onlineRoleSchema).max(3) }),
    response: onlineKeysSchema,
  }),
  rootPut: shape({
    response: z.strictObject({ version: z.int().min(1), waiting: z.boolean().optional() }),
  }),
  targetsPut: shape({ response: publishedRolesSchema }),
  rolesPut: shape({ response: publishedRolesSchema }),
  artifactPut: shape({ params: z.strictObject({ sha256: sha256Schema }), response: done }),
  artifactGet: shape({ params: z.strictObject({ sha256: sha256Schema }) }),
  tufMetadata: shape({
    params: z.strictObject({ file: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/) }),
  }),
  tufTarget: shape({
    params: z.strictObject({
      model: nameSchema,
      version: versionSchema,
      file: z.string().regex(/^[0-9a-f]{64}\.[a-z0-9][a-z0-9._-]{0,95}$/),
    }),
  }),

  releaseList: shape({
    query: z.strictObject({ model: nameSchema.optional() }),
    response: z.strictObject({ releases: z.array(releaseResourceSchema) }),
  }),
  releaseShow: shape({
    params: z.strictObject({ model: nameSchema, version: versionSchema }),
    response: releaseResourceSchema,
  }),

  rolloutList: shape({
    query: z.strictObject({ model: nameSchema.optional() }),
    response: z.strictObject({ rollouts: z.array(rolloutResourceSchema) }),
  }),
  rolloutCreate: shape({ body: rolloutSpecSchema, response: rolloutResourceSchema }),
  rolloutShow: shape({ params: rolloutParams, response: rolloutResourceSchema }),
  rolloutCommand: shape({
    params: rolloutParams,
    body: z.strictObject({
      command: rolloutCommandSchema,
      /** For `promote`: skip the waves that are left. */
      full: z.boolean().default(false),
      note: noteSchema,
      /** What the caller saw when deciding; anything else by now is refused as stale. */
      seen: z.strictObject({ state: rolloutStateSchema, wave: z.int().min(0) }).optional(),
    }),
    response: rolloutResourceSchema,
  }),
  rolloutDecisions: shape({
    params: rolloutParams,
    response: z.strictObject({ decisions: z.array(decisionResourceSchema) }),
  }),
} as const satisfies Record<EndpointId, RouteShape>

type Routes = typeof ROUTES
/** What a handler gets. */
export type RouteParams<Id extends EndpointId> = z.output<Routes[Id]['params']>
export type RouteQuery<Id extends EndpointId> = z.output<Routes[Id]['query']>
export type RouteBody<Id extends EndpointId> = z.output<Routes[Id]['body']>
export type RouteResponse<Id extends EndpointId> = z.output<Routes[Id]['response']>

/** A part of a call: absent where there is nothing to say, optional where all has defaults. */
type Part<Key extends string, Value> = [Value] extends [undefined]
  ? unknown
  : Record<string, never> extends Value
    ? { readonly [K in Key]?: Value }
    : { readonly [K in Key]: Value }

/** What a caller gives: parameters, query and JSON body. */
export type RouteCall<Id extends EndpointId> = Part<'params', z.input<Routes[Id]['params']>> &
  Part<'query', z.input<Routes[Id]['query']>> &
  Part<'body', z.input<Routes[Id]['body']>>
