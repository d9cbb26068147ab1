/**
 * Where members of a JSON object lie in its bytes, without building any of it: other values are passed
 * over byte by byte, so a text of 64 MiB costs a fraction of a second whatever it is made of. What is
 * no JSON is not found out here; the host says so. Pure.
 */

import { withExactIntegers } from '../serve/exact-integers.ts'

/** From `start` up to, not including, `end`. */
interface Range {
  readonly start: number
  readonly end: number
}

/** In an object with more members none is found: no request to infer has that many. */
const MEMBERS_MAX = 1_000
/** No name that is asked for is longer, not even where all of it is written with escapes. */
const NAME_BYTES_MAX = 128

const [QUOTE, ESCAPE, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]
const SPACE = 0x20

/** @returns the values of these members; of one that is there twice the last, as JSON.parse has it. */
export function membersOf(
  json: Buffer,
  within: Range,
  wanted: ReadonlySet<string>,
): ReadonlyMap<string, Range> {
  const found = new Map<string, Range>()
  const { end } = within
  let at = within.start
  while (at < end && json[at]! <= SPACE) at += 1
  if (json[at] !== OPEN_OBJECT) return found
  let depth = 0
  let members = 0
  let name: Range | undefined
  let valueStart = 0
  for (; at < end; at++) {
    const byte = json[at]!
    if (byte === QUOTE) {
      const start = at
      at = stringEnd(json, at + 1, end)
      if (depth === 1 && valueStart === 0) name = { start, end: at + 1 }
    } else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth += 1
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth -= 1
    else if (depth === 1 && byte === COLON) valueStart = at + 1
    if (depth > 1 || (depth === 1 && byte !== COMMA)) continue
    const text = name === undefined ? undefined : nameIn(json, name)
    if (text !== undefined && wanted.has(text)) found.set(text, { start: valueStart, end: at })
    if (depth === 0) return found
    name = undefined
    valueStart = 0
    members += 1
    if (members >= MEMBERS_MAX) return new Map()
  }
  return found
}

/** @returns where the closing quote is. */
function stringEnd(json: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && json[at] !== QUOTE) at += json[at] === ESCAPE ? 2 : 1
  return at
}

function nameIn(json: Buffer, { start, end }: Range): string | undefined {
  if (end - start > NAME_BYTES_MAX) return undefined
  const name = parsedIn(json, { start, end })
  return typeof name === 'string' ? name : undefined
}

/** @returns undefined for what is no JSON; an integer over 2^53 as text, as the host reads it. */
export function parsedIn(json: Buffer, { start, end }: Range): unknown {
  try {
    return JSON.parse(withExactIntegers(json.toString('utf8', start, end)))
  } catch {
    return undefined
  }
}
