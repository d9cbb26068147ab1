/**
 * What a handler of a route gets and gives. `Handlers` is exhaustive over the endpoint table: an
 * endpoint without a handler, or a handler that answers something else, does not compile.
 */
import type { ENDPOINTS, EndpointId } from '../../shared/api/endpoints.ts'
import type { RouteBody, RouteParams, RouteQuery, RouteResponse } from '../../shared/api/routes.ts'
import { ProblemError, type Result } from '../../shared/kernel/result.ts'
import type { Actor } from '../application.ts'

export interface RouteRequest<Id extends EndpointId> {
  readonly params: RouteParams<Id>
  readonly query: RouteQuery<Id>
  /** The checked JSON body; undefined where the endpoint takes none, or bytes. */
  readonly body: RouteBody<Id>
  /** Who calls; `anonymous` with the least role on public endpoints. */
  readonly actor: Actor
  /** The body as it arrives. Throws `http.too_large` past the endpoint's limit. */
  readonly stream: AsyncIterable<Uint8Array>
  readonly raw: Request
}

type RouteAnswer<Id extends EndpointId> = (typeof ENDPOINTS)[Id]['answer'] extends 'json'
  ? Result<RouteResponse<Id>>
  : Result<Response>

export type Handlers = {
  readonly [Id in EndpointId]: (
    request: RouteRequest<Id>,
  ) => RouteAnswer<Id> | Promise<RouteAnswer<Id>>
}

export const ANONYMOUS: Actor = { name: 'anonymous', role: 'viewer' }

/** The request's body, at most `bytesMax` of it. */
export async function* boundedBody(request: Request, bytesMax: number): AsyncIterable<Uint8Array> {
  const tooLarge = (found: string) =>
    new ProblemError({
      code: 'http.too_large',
      message: 'The body is too large.',
      expected: `at most ${bytesMax} bytes`,
      found,
      next: 'send less; the limits of each request are at /openapi.json',
    })
  const declared = Number(request.headers.get('content-length') ?? 0)
  if (declared > bytesMax) throw tooLarge(`${declared} bytes`)
  let received = 0
  for await (const chunk of request.body ?? []) {
    received += chunk.length
    if (received > bytesMax) throw tooLarge(`more than ${bytesMax} bytes`)
    yield chunk
  }
}

/** What is read whole is small: a caller who takes longer holds a connection, and nothing else. */
export const BODY_DEADLINE_MS = 60_000

/** Throws `http.slow` when the body is not there in time. */
export async function readWhole(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  const reader = stream[Symbol.asyncIterator]()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const message = 'The body did not arrive in time.'
    const expected = `within ${BODY_DEADLINE_MS / 1_000} s`
    const fail = () => reject(new ProblemError({ code: 'http.slow', message, expected }))
    timer = setTimeout(fail, BODY_DEADLINE_MS)
  })
  try {
    for (;;) {
      const next = await Promise.race([reader.next(), late])
      if (next.done === true) return new Uint8Array(Buffer.concat(chunks))
      chunks.push(next.value)
    }
  } finally {
    clearTimeout(timer)
  }
}
