/**
 * What each endpoint does: it calls the application and shapes the answer. Nothing is decided here
 * but what belongs to HTTP itself: sessions, tokens, stale clicks and files.
 */
import { createHash } from 'node:crypto'
import { endpointPath } from '../../shared/api/endpoints.ts'
import { roleFilesSchema } from '../../shared/api/routes.ts'
import { fromUtf8, utf8 } from '../../shared/kernel/bytes.ts'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { COMMANDS } from '../../shared/rollout/commands.ts'
import type { Actor, Application } from '../application.ts'
import type { AccessStore } from './access-store.ts'
import { authenticate, sessionCookie, sessionOf } from './authenticate.ts'
import type { EventStreams } from './events.ts'
import type { LoginCodes } from './login-codes.ts'
import { metricsText } from './metrics.ts'
import { openApiDocument } from './openapi.ts'
import { fileAnswer, memoryFile, type ServedFile } from './ranges.ts'
import { type Handlers, type RouteRequest, readWhole } from './route-handler.ts'

export interface HandlerParts {
  readonly application: Application
  readonly access: AccessStore
  readonly loginCodes: LoginCodes
  readonly events: EventStreams
  readonly version: string
}

export function createHandlers(parts: HandlerParts): Handlers {
  return {
    ...processHandlers(parts),
    ...accessHandlers(parts),
    ...deviceHandlers(parts),
    ...repositoryHandlers(parts),
    ...rolloutHandlers(parts),
  }
}

function processHandlers({ application, access, events, version }: HandlerParts) {
  let document: Record<string, unknown> | undefined
  return {
    alive: () => ok({ status: 'ok', version }),
    openapi: () => {
      document ??= openApiDocument(version)
      return ok(document)
    },
    metrics: async () => {
      const text = metricsText(await application.health(), events.size())
      const headers = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }
      return ok(new Response(text, { headers }))
    },
    audit: async ({ query }) => ok(await application.audit(query.after, query.limit)),
    health: async () => ok(await application.health()),
    events: ({ raw }) => {
      const isAdmitted = () => {
        const caller = authenticate(raw, access)
        return caller.ok && caller.value !== undefined
      }
      return events.open(raw, isAdmitted)
    },
  } satisfies Partial<Handlers>
}

function accessHandlers({ application, access, loginCodes }: HandlerParts) {
  const recorded = (
    actor: Actor,
    action: string,
    resource: string,
    result: Result<unknown>,
    metadata: Record<string, string> = {},
  ): Promise<void> => {
    const outcome = result.ok ? 'done' : result.error.code
    return application.record({ actor: actor.name, action, resource, outcome, metadata })
  }
  return {
    login: async ({ query, raw }) => {
      const actor = loginCodes.redeem(query.code)
      const secret = actor && (await access.createSession(actor))
      const entry = { action: 'login', resource: 'console' }
      if (actor === undefined || secret === undefined) {
        application.recordRefusal({ ...entry, actor: 'unknown', outcome: 'auth.login_code' })
        return ok(loginRefused())
      }
      await application.record({ ...entry, actor: actor.name, outcome: 'done' })
      const secure = new URL(raw.url).protocol === 'https:'
      const headers = {
        ...{ location: '/', 'set-cookie': sessionCookie(secret, secure) },
        'cache-control': 'no-store',
      }
      return ok(new Response(null, { status: 303, headers }))
    },
    session: async ({ actor }) => {
      const { fleet } = await application.health()
      return ok({ name: actor.name, role: actor.role, fleet })
    },
    logout: async ({ raw, actor }) => {
      const secret = sessionOf(raw)
      if (secret !== undefined) await access.endSession(secret)
      await recorded(actor, 'logout', 'console', ok())
      return ok({ done: true })
    },
    loginLinkCreate: async ({ body, raw, actor }) => {
      const { code, expiresAtMs } = loginCodes.create({ name: actor.name, role: body.role })
      await recorded(actor, 'create', 'login-link', ok(), { role: body.role })
      const host = raw.headers.get('host') ?? new URL(raw.url).host
      const url = `${new URL(raw.url).protocol}//${host}${endpointPath('login', {}, { code })}`
      return ok({ url, expiresAtMs })
    },
    tokenList: () => ok({ tokens: access.tokens() }),
    tokenCreate: async ({ body, actor }) => {
      const lifetimeMs = body.expiresInSeconds === null ? null : body.expiresInSeconds * 1000
      const created = await access.createToken(body.name, body.role, lifetimeMs)
      await recorded(actor, 'create', `token/${body.name}`, created, { role: body.role })
      return created.ok ? ok({ token: created.value.secret, entry: created.value.entry }) : created
    },
    tokenRevoke: async ({ params, actor }) => {
      loginCodes.forget(params.name)
      const revoked = await access.revokeToken(params.name)
      await recorded(actor, 'revoke', `token/${params.name}`, revoked)
      return done(revoked)
    },
  } satisfies Partial<Handlers>
}

function deviceHandlers({ application }: HandlerParts) {
  return {
    enrol: async ({ stream }) => application.enrol(await readWhole(stream)),
    enrolmentTokenCreate: ({ body, actor }) => application.createEnrolmentToken(body, actor),
    enrolmentTokenList: async () => ok({ tokens: await application.enrolmentTokens() }),
    enrolmentTokenRevoke: async ({ params, actor }) =>
      done(await application.revokeEnrolmentToken(params.id, actor)),
    deviceRevoke: async ({ params, body, actor }) =>
      done(await application.revokeDevice(params.device, body.note, actor)),
    deviceApprove: async ({ params, actor }) =>
      done(await application.approveDevice(params.device, actor)),
    deviceList: async () => ok({ devices: await application.listDevices() }),
    deviceShow: ({ params }) => application.getDevice(params.device),
    deviceTime: async ({ params, query }) => {
      const signed = await application.timeFor(params.device, query.nonce)
      if (!signed.ok) return signed
      const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' }
      return ok(new Response(new Uint8Array(signed.value), { headers }))
    },
    deviceAssignment: async ({ params }) => {
      const envelope = await application.assignmentOf(params.device)
      if (!envelope.ok) return envelope
      const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' }
      return ok(new Response(envelope.value, { headers }))
    },
  } satisfies Partial<Handlers>
}

function repositoryHandlers({ application }: HandlerParts) {
  const artifact = async (
    request: Request,
    sha256: string,
    mediaType: string,
  ): Promise<Result<Response>> => {
    const found = await application.artifact(sha256)
    if (!found.ok) return found
    const { length, open } = found.value
    const file: ServedFile = { length, open, mediaType, tag: sha256, immutable: true }
    return ok(fileAnswer(request, file))
  }
  return {
    onlineKeys: async () => {
      const [{ fleet }, keys] = await Promise.all([application.health(), application.onlineKeys()])
      return ok({ fleet, keys })
    },
    onlineKeysPrepare: async ({ body, actor }) => {
      const { fleet } = await application.health()
      return ok({ fleet, keys: await application.prepareOnlineKeys(body.roles, actor) })
    },
    rootPut: async ({ stream, actor }) => application.putRoot(await readWhole(stream), actor),
    targetsPut: async ({ stream, actor }) => application.putTargets(await readWhole(stream), actor),
    rolesPut: async ({ stream, actor }) => {
      const files = roleFilesSchema.safeParse(jsonOf(await readWhole(stream)))
      if (files.success && Object.keys(files.data).length > 0) {
        const entries = Object.entries(files.data)
        return application.putRoles(new Map(entries.map(([k, text]) => [k, utf8(text)])), actor)
      }
      return refuse('http.malformed', 'The body holds no signed metadata.', {
        expected: 'a JSON object of metadata files as text, by role',
        next: 'linnet release publish',
      })
    },
    artifactPut: async ({ params, stream, actor }) =>
      done(await application.putArtifact(params.sha256, stream, actor)),
    artifactGet: ({ params, raw }) => artifact(raw, params.sha256, 'application/octet-stream'),
    tufMetadata: async ({ params, raw }) => {
      const found = await application.tufMetadata(params.file)
      if (!found.ok) return found
      const tag = createHash('sha256').update(found.value).digest('hex')
      // Names with a version never change their bytes (consistent snapshots); timestamp does.
      const immutable = /^\d+\./.test(params.file)
      const about = { mediaType: 'application/json', tag, immutable }
      return ok(fileAnswer(raw, memoryFile(found.value, about)))
    },
    tufTarget: async ({ params, raw }) => {
      const { model, version, file } = params
      const target = await application.tufTarget(`${model}/${version}/${file}`)
      if (!target.ok) return target
      const mediaType = file.endsWith('.json') ? 'application/json' : 'application/octet-stream'
      return artifact(raw, target.value.sha256, mediaType)
    },
    releaseList: async ({ query }) => ok({ releases: await application.listReleases(query.model) }),
    releaseShow: ({ params }) => application.getRelease(params.model, params.version),
  } satisfies Partial<Handlers>
}

function rolloutHandlers({ application }: HandlerParts) {
  return {
    rolloutList: async ({ query, actor }) => {
      return ok({ rollouts: await application.listRollouts(actor, query.model) })
    },
    rolloutCreate: ({ body, actor }) => application.createRollout(body, actor),
    rolloutShow: ({ params, actor }) => application.getRollout(params.id, actor),
    rolloutCommand: async (request) => {
      const { params, body, actor } = request
      const may = await mayCommand(application, request)
      if (!may.ok) {
        const entry = { actor: actor.name, action: body.command, resource: `rollout/${params.id}` }
        application.recordRefusal({ ...entry, outcome: may.error.code })
        return may
      }
      const options = { full: body.full, note: body.note }
      return application.commandRollout(params.id, body.command, options, actor)
    },
    rolloutDecisions: async ({ params, actor }) => {
      const rollout = await application.getRollout(params.id, actor)
      if (!rollout.ok) return rollout
      return ok({ decisions: await application.decisions(rollout.value.id) })
    },
  } satisfies Partial<Handlers>
}

/** Errors: `auth.role`; `rollout.stale` when the rollout moved on since the caller looked. */
async function mayCommand(
  application: Application,
  { params, body, actor }: RouteRequest<'rolloutCommand'>,
): Promise<Result<undefined>> {
  const { roles } = COMMANDS[body.command]
  if (!roles.includes(actor.role)) {
    return refuse('auth.role', `A ${actor.role} may not ${body.command} a rollout.`, {
      expected: `role ${roles.join(' or ')}`,
      found: actor.role,
    })
  }
  if (body.seen === undefined) return ok()
  const now = await application.getRollout(params.id, actor)
  if (!now.ok) return now
  const { state, wave } = now.value
  if (state === body.seen.state && wave === body.seen.wave) return ok()
  return refuse('rollout.stale', 'The rollout moved on since you looked.', {
    expected: `${body.seen.state}, wave ${body.seen.wave + 1}`,
    found: `${state}, wave ${wave + 1}`,
    next: `linnet rollout show ${params.id}`,
  })
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(bytes) ?? '')
  } catch {
    return undefined
  }
}

function done(result: Result<undefined>): Result<{ done: true }> {
  return result.ok ? ok({ done: true }) : result
}

function loginRefused(): Response {
  const text = 'This link was used already, or is too old. A new one: linnet login'
  const page = `<!doctype html><html lang="en"><title>Linnet</title><p>${text}</p></html>`
  const headers = { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }
  return new Response(page, { status: 401, headers })
}
