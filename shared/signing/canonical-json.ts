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

/** The canonical bytes of `value`; code `json.not_canonical` says where and why there are none. */
export function canonicalBytes(value: unknown): Result<Uint8Array> {
  const flaw = findFlaw(value)
  return flaw === undefined ? ok(utf8(canonicalize(value))) : err(flaw)
}

function findFlaw(root: unknown): Problem | undefined {
  const pending: { value: unknown; depth: number }[] = [{ value: root, depth: 1 }]
  let seen = 0
  for (let item = pending.pop(); item !== undefined; item = pending.pop()) {
    const { value, depth } = item
    seen += 1
    const why = seen > CANONICAL_VALUES_MAX ? 'too many values' : whyNotCanonical(value, depth)
    if (why !== undefined) {
      return { code: 'json.not_canonical', message: `The value has no canonical form: ${why}.` }
    }
    if (typeof value !== 'object' || value === null) continue
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) pending.push({ value: value[i], depth: depth + 1 })
      continue
    }
    for (const [key, member] of Object.entries(value)) {
      pending.push({ value: key, depth }, { value: member, depth: depth + 1 })
    }
  }
  return undefined
}

function whyNotCanonical(value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case 'boolean':
      return undefined
    case 'string':
      return LONE_SURROGATE.test(value) ? 'a string with half a surrogate pair' : undefined
    case 'number':
      if (!Number.isInteger(value)) return `the number ${value}`
      return Number.isSafeInteger(value) ? undefined : `the integer ${value} beyond 2^53`
    case 'object':
      if (depth > CANONICAL_DEPTH_MAX) return `nesting deeper than ${CANONICAL_DEPTH_MAX}`
      return isPlain(value) ? undefined : 'an object that is not plain'
    default:
      return `a ${typeof value}`
  }
}

function isPlain(value: object | null): boolean {
  if (value === null || Array.isArray(value)) return true
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
