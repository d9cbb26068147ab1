/**
 * Which session a request to infer belongs to: `sequence_id` (a stream, whose state lives in one host)
 * or `key`. Pure.
 */
import type { ReadParameters } from './request-parameters.ts'

/** Keys are short; what is longer is refused by the host. */
const KEY_LENGTH_MAX = 256

export interface Session {
  readonly key: string
  /** It has state on its host. */
  readonly isStream: boolean
  /** Nothing of it follows. */
  readonly isLast: boolean
}

/** @returns undefined for a request that any host may answer. */
export function sessionOf(parameters: ReadParameters): Session | undefined {
  const { sequence_id: sequence, sequence_end: isLast = false, key } = parameters
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

const bounded = (text: string): string => text.slice(0, KEY_LENGTH_MAX)
