/**
 * The address of a request in the one form in which the front reads it and the host gets it: without
 * scheme and authority, without dots, and every segment decoded once, so that no spelling of a model's
 * name is another name to one of the two. Pure.
 */
import { type Result, refuse } from '../../shared/kernel/result.ts'

interface Target {
  /** Without the query. */
  readonly path: string
  readonly query: string
}

/** Models and versions, as the host's own listener has them. */
const NAME = /^[\w.-]+$/
const TARGET_LENGTH_MAX = 4_096
/** What needs nothing done: most requests. */
const PLAIN = /^(?:\/[\w-][\w.-]*)+$/

/** @param url of the request line (RFC 9112, 3.2). Errors: `request.unknown_route`. */
export function targetOf(url: string): Result<Target> {
  if (PLAIN.test(url)) return { ok: true, value: { path: url, query: '' } }
  const parsed = url.length > TARGET_LENGTH_MAX ? undefined : parse(url)
  const segments = parsed?.pathname.split('/').map(decoded) ?? [undefined]
  const [, api, models, ...names] = segments
  const isKnown =
    segments.every((segment) => segment !== undefined) &&
    !(api === 'v2' && models === 'models' && names.some((name) => !NAME.test(name ?? '')))
  if (parsed === undefined || !isKnown) {
    return refuse('request.unknown_route', 'There is no such route.', {
      expected: 'names of letters, digits, and . _ -',
      found: url.slice(0, 200),
    })
  }
  const path = segments.map((segment = '') => encodeURIComponent(segment)).join('/')
  return { ok: true, value: { path, query: parsed.search } }
}

function parse(url: string): URL | undefined {
  try {
    return new URL(url.startsWith('/') ? `http://localhost${url}` : url)
  } catch {
    return undefined
  }
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
