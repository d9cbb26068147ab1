/**
 * How a request wants to be treated, from its parameters: Triton's `priority` and the parameters of
 * its sequence extension, with their meanings there. The same over HTTP and gRPC.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Priority, StreamPart } from '../data-plane.ts'

type Parameters = Readonly<Record<string, unknown>>

const ID_LENGTH_MAX = 256

/**
 * `priority`: 1 is high, 2 and above normal, 0 or absent the default, normal. `linnet-priority` says
 * it in words. Errors: `request.malformed`.
 */
export function decodePriority(parameters: Parameters): Result<Priority | undefined> {
  const { priority, 'linnet-priority': named } = parameters
  if (named !== undefined) {
    return isPriority(named) ? ok(named) : malformed('linnet-priority high or normal', named)
  }
  if (priority === undefined) return ok()
  if (!(typeof priority === 'number' && Number.isInteger(priority) && priority >= 0)) {
    return malformed('a priority of 0, 1 (high) or 2 (normal)', priority)
  }
  return ok(priority === 0 ? undefined : priority === 1 ? 'high' : 'normal')
}

/**
 * `sequence_id`: a positive number or a text; 0 and empty: none. A number that JavaScript has rounded
 * would be the id of another stream, so what is over 2^53 comes as text here. Errors:
 * `request.malformed`.
 */
export function decodeStream(parameters: Parameters): Result<StreamPart | undefined> {
  const { sequence_id: id, sequence_start: start = false, sequence_end: end = false } = parameters
  if (typeof start !== 'boolean' || typeof end !== 'boolean') {
    return malformed('sequence_start and sequence_end true or false', start)
  }
  if (id === undefined || id === 0 || id === '') {
    return start || end ? malformed('a sequence_id', id) : ok()
  }
  const isId =
    (typeof id === 'string' && id.length <= ID_LENGTH_MAX) ||
    (typeof id === 'number' && Number.isSafeInteger(id) && id > 0)
  if (!isId) return malformed(`a sequence_id, a whole number or ${ID_LENGTH_MAX} characters`, id)
  return ok({ id: String(id), start, end })
}

export function isPriority(value: unknown): value is Priority {
  return value === 'high' || value === 'normal'
}

function malformed(expected: string, value: unknown): Result<never> {
  const found = (JSON.stringify(value) ?? 'nothing').slice(0, 120)
  return refuse('request.malformed', 'This is not an inference request.', { expected, found })
}
