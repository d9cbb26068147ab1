/**
 * Canonical JSON (OLPC): the one byte form that signatures cover. Invariant: two values that differ
 * have different bytes, so whatever has no unambiguous form is refused: fractions, integers beyond
 * 2^53, lone surrogates, holes, anything but plain objects. Parsing untrusted text starts here too,
 * under limits that are checked before the parser runs. What the fields mean is left to others.
 */
import { canonicalize } from '@tufjs/canonical-json'
import { fromUtf8, utf8 } from '../kernel/bytes.ts'
import { err, ok, type Problem, type Result, refuse } from '../kernel/result.ts'

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

export interface JsonLimits {
  readonly bytesMax: number
  readonly depthMax: number
  /** Values of any kind, containers included. */
  readonly valuesMax: number
}

const CANONICAL_DEPTH_MAX = 64
const CANONICAL_VALUES_MAX = 1_000_000
const LONE_SURROGATE = /\p{Surrogate}/u

/** The canonical bytes of `value`; code `json.not_canonical` says why there are none. */
export function canonicalBytes(value: unknown): Result<Uint8Array> {
  const flaw = findFlaw(value, 1, { left: CANONICAL_VALUES_MAX })
  if (flaw !== undefined) return notCanonical(flaw)
  const text = canonicalize(value)
  // Encoded, every lone half would become the same replacement character.
  if (LONE_SURROGATE.test(text)) return notCanonical('a string with half a surrogate pair')
  return ok(utf8(text))
}

function notCanonical(why: string): Result<never> {
  return refuse('json.not_canonical', `The value has no canonical form: ${why}.`)
}

function findFlaw(value: unknown, depth: number, values: { left: number }): string | undefined {
  values.left -= 1
  if (values.left < 0) return `more than ${CANONICAL_VALUES_MAX} values`
  switch (typeof value) {
    case 'boolean':
    case 'string':
      return undefined
    case 'number':
      if (!Number.isInteger(value)) return `the number ${value}`
      return Number.isSafeInteger(value) ? undefined : `the integer ${value} beyond 2^53`
    case 'object':
      return value === null ? undefined : findFlawInside(value, depth, values)
    default:
      return `a ${typeof value}`
  }
}

function findFlawInside(
  object: object,
  depth: number,
  values: { left: number },
): string | undefined {
  if (depth > CANONICAL_DEPTH_MAX) return `nesting deeper than ${CANONICAL_DEPTH_MAX}`
  if (!isPlain(object)) return 'an object that is not plain'
  // Array.from sees holes, which the values of an array would leave out.
  const inside: unknown[] = Array.isArray(object) ? Array.from(object) : Object.values(object)
  for (const value of inside) {
    const flaw = findFlaw(value, depth + 1, values)
    if (flaw !== undefined) return flaw
  }
  return undefined
}

function isPlain(value: object): boolean {
  if (Array.isArray(value)) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/**
 * Parses untrusted JSON. Refuses before parsing what exceeds the limits: `json.too_large`,
 * `json.too_deep`, `json.too_many`; then `json.malformed`.
 */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): Result<Json> {
  if (bytes.length > limits.bytesMax) {
    return refuse('json.too_large', 'The document is too large.', {
      expected: `at most ${limits.bytesMax} bytes`,
      found: `${bytes.length} bytes`,
    })
  }
  const excess = measure(bytes, limits)
  if (excess !== undefined) return err(excess)
  const text = fromUtf8(bytes)
  if (text === undefined) return refuse('json.malformed', 'The document is not UTF-8 text.')
  try {
    return ok(JSON.parse(text) as Json)
  } catch {
    return refuse('json.malformed', 'The document is not JSON.')
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c

/** Depth and number of values, counted on the bytes: `[`, `{` and `,` outside strings. */
function measure(bytes: Uint8Array, limits: JsonLimits): Problem | undefined {
  let depth = 0
  let values = 1
  let inString = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (inString) {
      if (byte === BACKSLASH) i += 1
      else if (byte === QUOTE) inString = false
      continue
    }
    if (byte === QUOTE) inString = true
    else if (byte === COMMA) values += 1
    else if (byte === 0x5b || byte === 0x7b) {
      depth += 1
      values += 1
      if (depth > limits.depthMax) {
        const expected = `at most ${limits.depthMax} levels`
        return { code: 'json.too_deep', message: 'The document is nested too deeply.', expected }
      }
    } else if (byte === 0x5d || byte === 0x7d) depth -= 1
    if (values > limits.valuesMax) {
      const expected = `at most ${limits.valuesMax} values`
      return { code: 'json.too_many', message: 'The document holds too many values.', expected }
    }
  }
  return undefined
}

/** Narrows to an object that is not an array. */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An own property only, so that `__proto__` or `constructor` never come from the prototype. */
export function member(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}
