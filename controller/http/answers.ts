/**
 * How results become HTTP answers: the body is the resource or `{ error }`, the status follows from
 * the problem's code. A code that is not listed is a refusal of well-formed input: 422.
 */
import type { Problem } from '../../shared/kernel/result.ts'
import { boundProblem } from '../../shared/model/device.ts'

/** Last part of the code, or the whole of it, to status. The whole code wins. */
const STATUS: Readonly<Record<string, number>> = {
  'auth.required': 401,
  'auth.unknown': 401,
  'auth.login_code': 401,
  'auth.role': 403,
  'access.unknown_device': 401,
  'token.too_large': 401,
  'token.malformed': 401,
  'token.algorithm': 401,
  'token.signature': 401,
  'token.audience': 401,
  'token.subject': 401,
  'token.lifetime': 401,
  'token.not_yet_valid': 401,
  'token.expired': 401,
  'token.replayed': 401,
  'token.before_restart': 401,
  'token.replay_memory_full': 503,
  'access.revoked': 403,
  'access.pending': 403,
  'rollout.same_person': 403,
  'http.host': 421,
  'http.origin': 403,
  'http.method': 405,
  'http.malformed': 400,
  'http.media_type': 415,
  'http.range': 416,
  'http.slow': 408,
  'http.internal': 500,
  'idempotency.mismatch': 422,
  'rollout.unknown_release': 422,
  not_found: 404,
  unknown: 404,
  unknown_device: 404,
  unknown_rollout: 404,
  unknown_target: 404,
  missing: 404,
  malformed: 400,
  too_large: 413,
  duplicate: 409,
  duplicate_version: 409,
  already_active: 409,
  not_allowed: 409,
  superseded: 409,
  stale: 409,
  conflict: 409,
  busy: 503,
  overloaded: 503,
  stopping: 503,
  too_many: 429,
}

function statusOf(problem: Problem): number {
  return STATUS[problem.code] ?? STATUS[problem.code.split('.').at(-1) ?? ''] ?? 422
}

/** Problem texts are bounded on the wire. */
export function problemBody(problem: Problem): { error: Problem } {
  return { error: boundProblem(problem) }
}

export function json(value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      ...headers,
    },
  })
}

export function problemAnswer(problem: Problem, headers: Record<string, string> = {}): Response {
  const status = statusOf(problem)
  const extra: Record<string, string> = { ...headers }
  if (status === 401) extra['www-authenticate'] = 'Bearer realm="linnet"'
  if (status === 503) extra['retry-after'] = '2'
  // The rest of the body is not waited for.
  if (status === 408) extra.connection = 'close'
  return json(problemBody(problem), status, extra)
}
