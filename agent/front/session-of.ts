/**
 * Which session a request to infer belongs to, read from the JSON part of its body and from nothing
 * else: `parameters.sequence_id` (a stream, whose state lives in one host) or `parameters.key`. Pure.
 *
 * Invariant: no more is parsed than `VALUE_BYTES_MAX` of each parameter, however long the body is and
 * whatever it is made of; the front serves all clients of all hosts, and may not stand still for one.
 */
import { z } from 'zod'
import { membersOf, parsedIn } from './json-members.ts'

/** Keys are short; what is longer is refused by the host. */
const KEY_LENGTH_MAX = 256
/** A key of that length with every character written as an escape, and its quotes; then some. */
const VALUE_BYTES_MAX = 2_048

const parametersSchema = z.object({
  sequence_id: z.union([z.string(), z.number()]).optional(),
  sequence_end: z.boolean().optional(),
  key: z.string().optional(),
})
const PARAMETERS = new Set(['parameters'])
const NAMES = new Set(Object.keys(parametersSchema.shape))

export interface Session {
  readonly key: string
  /** It has state on its host. */
  readonly isStream: boolean
  /** Nothing of it follows. */
  readonly isLast: boolean
}

/** @param json the whole JSON part. @returns undefined for a request that any host may answer. */
export function sessionOf(json: Buffer): Session | undefined {
  // Most requests have none, and a look for the names is cheaper still than passing over tensors.
  if (!SIGNS.some((name) => json.includes(name))) return undefined
  const parsed = parametersSchema.safeParse(parametersOf(json))
  if (!parsed.success) return undefined
  const { sequence_id: sequence, sequence_end: isLast = false, key } = parsed.data
  // Zero is no sequence (Triton, "Sequence Extension").
  if (sequence !== undefined && sequence !== 0 && sequence !== '') {
    return { key: bounded(`s/${sequence}`), isStream: true, isLast }
  }
  return key === undefined ? undefined : plainSession(`k/${key}`)
}

/** All requests of one model together. */
export const modelSession = (model: string): Session => plainSession(`m/${model}`)

const plainSession = (key: string): Session => ({
  ...{ key: bounded(key), isStream: false, isLast: false },
})

/** A name may be written with escapes. */
const SIGNS = ['"key"', '"sequence_id"', '\\u']

const bounded = (text: string): string => text.slice(0, KEY_LENGTH_MAX)

/** @returns undefined where there are none, or one is too long to be any of these. */
function parametersOf(json: Buffer): unknown {
  const whole = { start: 0, end: json.length }
  const range = membersOf(json, whole, PARAMETERS).get('parameters')
  if (range === undefined) return undefined
  const values = [...membersOf(json, range, NAMES)]
  if (values.some(([, { start, end }]) => end - start > VALUE_BYTES_MAX)) return undefined
  return Object.fromEntries(values.map(([name, value]) => [name, parsedIn(json, value)]))
}
