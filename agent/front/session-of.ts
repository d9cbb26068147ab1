/**
 * Which session a request to infer belongs to, read from the JSON part of its body and from nothing
 * else: `parameters.sequence_id` (a stream, whose state lives in one host) or `parameters.key`. Pure.
 */
import { z } from 'zod'

/** Keys are short; what is longer is refused by the host. */
const KEY_LENGTH_MAX = 256

const requestSchema = z.object({
  parameters: z.object({
    sequence_id: z.union([z.string(), z.number()]).optional(),
    sequence_end: z.boolean().optional(),
    key: z.string().optional(),
  }),
})

export interface Session {
  readonly key: string
  /** It has state on its host. */
  readonly isStream: boolean
  /** Nothing of it follows. */
  readonly isLast: boolean
}

/** @param json the whole JSON part. @returns undefined for a request that any host may answer. */
export function sessionOf(json: Buffer): Session | undefined {
  // Most requests have none, and a look for the names is much cheaper than parsing the tensors.
  if (!NAMES.some((name) => json.includes(name))) return undefined
  const parsed = requestSchema.safeParse(parse(json))
  if (!parsed.success) return undefined
  const { sequence_id: sequence, sequence_end: isLast = false, key } = parsed.data.parameters
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
const NAMES = ['"key"', '"sequence_id"', '\\u']

const bounded = (text: string): string => text.slice(0, KEY_LENGTH_MAX)

function parse(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString('utf8'))
  } catch {
    // The host says what is wrong with it.
    return undefined
  }
}
