/**
 * What the front reads of a request to infer: these few of its parameters, and nothing else of its
 * body. Pure.
 *
 * Invariant: no more is parsed than `VALUE_BYTES_MAX` of each parameter, however long the body is and
 * whatever it is made of; the front serves all clients of all hosts, and may not stand still for one.
 */
import { z } from 'zod'
import { membersOf, parsedIn } from './json-members.ts'

/** A key of 256 characters, each written as an escape, and its quotes; the host takes no longer one. */
const VALUE_BYTES_MAX = 2_048

const parametersSchema = z.object({
  sequence_id: z.union([z.string(), z.number()]).optional(),
  sequence_end: z.boolean().optional(),
  key: z.string().optional(),
  /** Microseconds, 0: none (Triton, "Schedule Policy Extension"). */
  timeout: z.number().nonnegative().optional(),
})

export type ReadParameters = z.infer<typeof parametersSchema>

const PARAMETERS = new Set(['parameters'])
const NAMES = new Set(Object.keys(parametersSchema.shape))
/** A name may be written with escapes. */
const SIGNS = ['"key"', '"sequence_id"', '"timeout"', '\\u']

/** @param json the whole JSON part. @returns none of them where a host would refuse one of them. */
export function parametersOf(json: Buffer): ReadParameters {
  // Most requests have none, and a look for the names is cheaper still than passing over tensors.
  if (!SIGNS.some((name) => json.includes(name))) return {}
  const whole = { start: 0, end: json.length }
  const range = membersOf(json, whole, PARAMETERS).get('parameters')
  const values = range === undefined ? [] : [...membersOf(json, range, NAMES)]
  if (values.some(([, { start, end }]) => end - start > VALUE_BYTES_MAX)) return {}
  const read = values.map(([name, value]) => [name, parsedIn(json, value)])
  return parametersSchema.safeParse(Object.fromEntries(read)).data ?? {}
}

/** How long the client wants to wait, in milliseconds. */
export const timeoutMsOf = ({ timeout = 0 }: ReadParameters): number =>
  timeout === 0 ? Infinity : timeout / 1_000
