/**
 * The typed client of the HTTP interface, for CLI and console. It derives from the endpoint table;
 * its types come from the schemas, but no zod is loaded. Network and randomness are passed in.
 *
 * Every outcome is a value: `controller.unreachable` when no answer came, `controller.answer` when
 * what came is not ours, else the controller's own problem.
 */
import { ok, type Problem, type Result, refuse } from '../kernel/result.ts'
import { ENDPOINTS, type Endpoint, type EndpointId, endpointPath } from './endpoints.ts'
import type { RouteCall, RouteResponse } from './routes.ts'

export interface FetchRequest {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}
interface FetchAnswer {
  readonly status: number
  text(): Promise<string>
}
/** The part of `fetch` that is used; it rejects when there is no answer. */
export type Fetch = (url: string, request: FetchRequest) => Promise<FetchAnswer>

export interface ClientOptions {
  /** `http://127.0.0.1:7420`, without a path; empty for the page's own origin. */
  readonly baseUrl: string
  /** Bearer token; the console has its cookie instead. */
  readonly token?: string
  readonly fetch: Fetch
  /** A new idempotency key for each POST: random, at least 16 characters. */
  readonly newKey: () => string
}

/** Endpoints whose answer is JSON. */
type JsonEndpointId = {
  [Id in EndpointId]: (typeof ENDPOINTS)[Id]['answer'] extends 'json' ? Id : never
}[EndpointId]

export interface Client {
  readonly baseUrl: string
  /** @param bytes the body, where the endpoint takes bytes. */
  call<Id extends JsonEndpointId>(
    id: Id,
    input: RouteCall<Id>,
    bytes?: Uint8Array,
  ): Promise<Result<RouteResponse<Id>>>
}

interface LooseCall {
  readonly params?: Record<string, string>
  readonly query?: Record<string, string | number | boolean | undefined>
  readonly body?: unknown
}

export function createClient(options: ClientOptions): Client {
  return {
    baseUrl: options.baseUrl,
    async call(id, input, bytes) {
      const { params, query, body } = input as LooseCall
      const url = options.baseUrl + endpointPath(id, params, query)
      const answer = await send(options, url, ENDPOINTS[id], bytes ?? body)
      return answer as Result<RouteResponse<typeof id>>
    },
  }
}

async function send(
  options: ClientOptions,
  url: string,
  endpoint: Endpoint,
  body: unknown,
): Promise<Result<unknown>> {
  const { fetch: exchange } = options
  const headers: Record<string, string> = { accept: 'application/json' }
  if (options.token !== undefined) headers.authorization = `Bearer ${options.token}`
  if (endpoint.method === 'POST') headers['idempotency-key'] = options.newKey()
  const request: FetchRequest = { method: endpoint.method, headers, ...withBody(endpoint, body) }
  if (endpoint.body === 'json') headers['content-type'] = 'application/json'
  if (endpoint.body === 'bytes') headers['content-type'] = 'application/octet-stream'
  let status: number
  let text: string
  try {
    const answer = await exchange(url, request)
    status = answer.status
    text = await answer.text()
  } catch (cause) {
    return refuse('controller.unreachable', `No answer from ${options.baseUrl}.`, {
      expected: 'a running controller',
      found: cause instanceof Error ? cause.message : String(cause),
      next: 'linnet controller',
    })
  }
  return readAnswer(status, text)
}

function withBody(endpoint: Endpoint, body: unknown): { body?: string | Uint8Array } {
  if (endpoint.body === 'none') return {}
  if (body instanceof Uint8Array) return { body }
  return { body: JSON.stringify(body ?? {}) }
}

function readAnswer(status: number, text: string): Result<unknown> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  if (status >= 200 && status < 300 && json !== undefined) return ok(json)
  const error = (json as { error?: Partial<Problem> } | undefined)?.error
  if (typeof error?.code === 'string' && typeof error.message === 'string') {
    return { ok: false, error: error as Problem }
  }
  return refuse('controller.answer', 'What answered is not a Linnet controller.', {
    expected: 'JSON of the Linnet interface',
    found: `status ${status} with ${text.length} characters`,
    next: 'check --controller',
  })
}
