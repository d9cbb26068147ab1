/**
 * Refusals as the Open Inference Protocol tells them: a status and `{ "error": sentence }`. The code
 * stands in the sentence's end and in a header, so that programs need not read English.
 */
import { describeProblem, type Problem } from '../../shared/kernel/result.ts'

const STATUSES: Readonly<Record<string, number>> = {
  'infer.unknown_model': 404,
  'infer.unknown_version': 404,
  'infer.not_ready': 503,
  'infer.overloaded': 503,
  'infer.host_lost': 503,
  'infer.rate_limited': 429,
  'infer.deadline': 504,
  // Nobody reads it; the number that proxies log for a client that left.
  'infer.cancelled': 499,
  'stream.version_gone': 410,
  'stream.too_many': 503,
  'infer.failed': 500,
  'request.too_large': 413,
  'request.encoding': 415,
  'request.foreign_origin': 403,
  'request.unknown_route': 404,
  'feedback.unknown_id': 404,
  'health.unknown_service': 404,
  'repository.refused': 403,
  'repository.unknown_model': 404,
  'repository.in_rollout': 409,
}

/** Problems of the request itself are the sender's: 400. */
export function statusOf({ code }: Problem): number {
  return STATUSES[code] ?? 400
}

/** An answer that any server can write. */
export interface WireAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array<ArrayBuffer>
}

export function refusalResponse(problem: Problem): Response {
  const { status, headers, body } = refusalAnswer(problem)
  return new Response(body, { status, headers })
}

export function refusalAnswer(problem: Problem): WireAnswer {
  const status = statusOf(problem)
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'linnet-code': problem.code,
  }
  if (status === 503 || status === 429) headers['retry-after'] = retryAfterSeconds(problem)
  return { status, headers, body: JSON.stringify({ error: describeProblem(problem) }) }
}

/** The refusal's next step names the seconds, where it knows them. */
function retryAfterSeconds({ next }: Problem): string {
  return next?.match(/in (\d+) s/)?.[1] ?? '1'
}
