/**
 * Binds the endpoint table to handlers: credentials, access matrix, schemas, limits and errors are
 * dealt with here, once, so that a handler only sees what it may act on.
 */
import type { Context, Hono } from 'hono'
import { z } from 'zod'
import {
  ENDPOINT_IDS,
  ENDPOINTS,
  type Endpoint,
  type EndpointId,
  mayCall,
} from '../../shared/api/endpoints.ts'
import { ROUTES } from '../../shared/api/routes.ts'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { ok, type Problem, ProblemError, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Actor } from '../application.ts'
import type { AccessStore } from './access-store.ts'
import { json, problemAnswer } from './answers.ts'
import { authenticate } from './authenticate.ts'
import type { Idempotency } from './idempotency.ts'
import {
  ANONYMOUS,
  boundedBody,
  type Handlers,
  type RouteRequest,
  readWhole,
} from './route-handler.ts'

export interface Binding {
  readonly access: AccessStore
  readonly idempotency: Idempotency
  /** Whether the token was made by the key of the device. */
  proveDevice(device: string, token: string): Result<undefined>
  /** In tests: answers are checked against their schemas too. */
  readonly checkAnswers: boolean
  onFailure(problem: Problem, cause: unknown): void
  /** Somebody without the right to, by name where the credentials are known. */
  onRefused(name: string, endpoint: EndpointId, problem: Problem): void
}

/** A handler as the binder sees it: checked by `Handlers`, called without its types. */
type AnyHandler = (request: RouteRequest<never>) => Promise<Result<unknown>> | Result<unknown>

export function bindRoutes(app: Hono, handlers: Handlers, binding: Binding): void {
  for (const id of ENDPOINT_IDS) {
    const endpoint: Endpoint = ENDPOINTS[id]
    const handler = handlers[id] as AnyHandler
    const path = endpoint.path.replace(/\{(\w+)\}/g, ':$1')
    app.on(endpoint.method, path, (context) => answer(context, id, endpoint, handler, binding))
  }
}

async function answer(
  context: Context,
  id: EndpointId,
  endpoint: Endpoint,
  handler: AnyHandler,
  binding: Binding,
): Promise<Response> {
  const request = context.req.raw
  try {
    const actor = admit(request, endpoint, binding, context.req.param('device'))
    if (!actor.ok) {
      binding.onRefused(refusedName(request, binding.access), id, actor.error)
      return problemAnswer(actor.error)
    }
    const parts = await readParts(context, id, endpoint)
    if (!parts.ok) return problemAnswer(parts.error)
    const { text, ...checked } = parts.value
    const perform = async () => {
      const full = { ...checked, actor: actor.value, raw: request }
      return respond(id, endpoint, await handler(full as RouteRequest<never>), binding)
    }
    const key = request.headers.get('idempotency-key')
    if (endpoint.method !== 'POST' || key === null || actor.value === ANONYMOUS) {
      return await perform()
    }
    if (!/^[\x21-\x7e]{8,128}$/.test(key)) return problemAnswer(MALFORMED_KEY)
    const scope = `${actor.value.name} ${context.req.path}`
    return await binding.idempotency.once(scope, key, text, perform)
  } catch (cause) {
    if (cause instanceof ProblemError) return problemAnswer(cause.problem)
    const problem = { code: 'http.internal', message: 'The controller failed at this request.' }
    binding.onFailure(problem, cause)
    return problemAnswer(problem)
  }
}

const MALFORMED_KEY: Problem = {
  code: 'http.malformed',
  message: 'The idempotency key is not usable.',
  expected: '8 to 128 visible characters',
  next: 'a new random idempotency-key for each POST, or none',
}

function refusedName(request: Request, access: AccessStore): string {
  const caller = authenticate(request, access)
  return caller.ok ? (caller.value?.name ?? 'anonymous') : 'unknown'
}

/** Errors: `auth.required`, `auth.unknown`, `auth.role`, `http.origin`; for devices `token.*`. */
function admit(request: Request, endpoint: Endpoint, binding: Binding, device = ''): Result<Actor> {
  if (endpoint.access === 'public') return ok(ANONYMOUS)
  const caller = authenticate(request, binding.access)
  if (endpoint.access === 'device') {
    const person = caller.ok ? caller.value : undefined
    return admitDevice(request, person, device, binding)
  }
  if (!caller.ok) return caller
  if (caller.value === undefined) {
    return refuse('auth.required', 'This needs a token or a session.', {
      expected: 'Authorization: Bearer <token>',
      found: 'no credentials',
      next: 'linnet login',
    })
  }
  if (mayCall(endpoint, caller.value.role)) return ok(caller.value)
  return refuse('auth.role', `A ${caller.value.role} may not do this.`, {
    expected: `role ${endpoint.access.join(' or ')}`,
    found: caller.value.role,
  })
}

/** The device in the path and nobody else, whatever his role. */
function admitDevice(
  request: Request,
  person: Actor | undefined,
  device: string,
  binding: Binding,
): Result<Actor> {
  if (person !== undefined) {
    return refuse('auth.role', `A ${person.role} may not do this.`, {
      expected: 'the device itself, by a token that its key made',
      found: person.role,
      next: 'linnet device show',
    })
  }
  const header = request.headers.get('authorization') ?? ''
  const token = /^Bearer +(\S{1,2048})$/i.exec(header)?.[1]
  if (token === undefined) {
    return refuse('auth.required', 'A device proves here that it is itself.', {
      expected: 'Authorization: Bearer <token made by the key of the device, for HTTP>',
      found: 'no credentials',
      next: 'linnet device show',
    })
  }
  const proved = binding.proveDevice(device, token)
  return proved.ok ? ok({ name: device, role: 'viewer' }) : proved
}

interface Parts {
  readonly params: unknown
  readonly query: unknown
  readonly body: unknown
  /** The JSON body as sent, for idempotency. */
  readonly text: string
  readonly stream: AsyncIterable<Uint8Array>
}

async function readParts(
  context: Context,
  id: EndpointId,
  endpoint: Endpoint,
): Promise<Result<Parts>> {
  const route = ROUTES[id]
  const params = check(id, route.params, context.req.param(), 'path')
  if (!params.ok) return params
  const query = check(id, route.query, context.req.query(), 'query')
  if (!query.ok) return query
  const stream = boundedBody(context.req.raw, endpoint.bodyBytesMax ?? 0)
  const parts = { params: params.value, query: query.value, stream }
  if (endpoint.body !== 'json') return ok({ ...parts, body: undefined, text: '' })
  const type = context.req.header('content-type') ?? ''
  if (!/^application\/json\b/i.test(type)) {
    return refuse('http.media_type', 'The body must be JSON.', {
      expected: 'content-type: application/json',
      found: type === '' ? 'none' : type,
    })
  }
  const text = fromUtf8(await readWhole(stream))
  const json = text === undefined ? undefined : parseText(text)
  if (json === undefined) {
    return refuse('http.malformed', 'The body is not JSON.', {
      expected: 'a JSON text in UTF-8',
      found: text === undefined ? 'bytes that are not UTF-8' : `${text.length} characters`,
      next: `see ${id} at /openapi.json`,
    })
  }
  const body = check(id, route.body, json.value, 'body')
  return body.ok ? ok({ ...parts, body: body.value, text: text ?? '' }) : body
}

function parseText(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

function check(id: EndpointId, schema: z.ZodType, value: unknown, where: string): Result<unknown> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return ok(parsed.data)
  return refuse('http.malformed', `The ${where} of the request is not as described.`, {
    expected: 'what /openapi.json says',
    found: z.prettifyError(parsed.error),
    next: `see ${id} at /openapi.json`,
  })
}

function respond(
  id: EndpointId,
  endpoint: Endpoint,
  result: Result<unknown>,
  binding: Binding,
): Response {
  if (!result.ok) return problemAnswer(result.error)
  if (result.value instanceof Response) return result.value
  const value = binding.checkAnswers ? ROUTES[id].response.parse(result.value) : result.value
  return json(value, endpoint.status)
}
