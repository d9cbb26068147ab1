/**
 * Canonical JSON (OLPC): the one byte form that signatures cover. Invariant: two values that differ
 * have different bytes, so whatever has no unambiguous form is refused: fractions, integers beyond
 * 2^53, lone surrogates, holes, anything but plain objects. Parsing untrusted text starts here too,
 * under limits that are checked before the parser runs. What the fields mean is left to others.
 */
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

const QUOTE = 0x22
const BACKSLASH = 0x5c
const CANONICAL_DEPTH_MAX = 64
const CANONICAL_VALUES_MAX = 1_000_000
const LONE_SURROGATE = /\p{Surrogate}/u
/** What `JSON.stringify` escapes beside quotes and backslashes. */
const ESCAPED_OTHERWISE = /[\p{Cc}\p{Surrogate}]/u

/** The canonical bytes of `value`; code `json.not_canonical` says why there are none. */
export function canonicalBytes(value: unknown): Result<Uint8Array> {
  const writing: Writing = { left: CANONICAL_VALUES_MAX, flaw: undefined }
  const text = write(value, 1, writing)
  if (writing.flaw !== undefined) return notCanonical(writing.flaw)
  const bytes = utf8(text)
  // Encoded, every lone half would become the same replacement character. ASCII has none.
  if (bytes.length !== text.length && LONE_SURROGATE.test(text)) {
    return notCanonical('a string with half a surrogate pair')
  }
  return ok(bytes)
}

function notCanonical(why: string): Result<never> {
  return refuse('json.not_canonical', `The value has no canonical form: ${why}.`)
}

interface Writing {
  /** Values that may still come. */
  left: number
  /** Why the text is worth nothing. */
  flaw: string | undefined
}

/** One pass, since an attacker chooses the size: a flaw ends it, and the text counts no more. */
function write(value: unknown, depth: number, writing: Writing): string {
  writing.left -= 1
  if (writing.left < 0) return flawed(writing, `more than ${CANONICAL_VALUES_MAX} values`)
  switch (typeof value) {
    case 'boolean':
      return value ? 'true' : 'false'
    case 'string':
      return quoted(value)
    case 'number':
      if (!Number.isInteger(value)) return flawed(writing, `the number ${value}`)
      if (Number.isSafeInteger(value)) return String(value)
      return flawed(writing, `the integer ${value} beyond 2^53`)
    case 'object':
      return value === null ? 'null' : writeObject(value, depth, writing)
    default:
      return flawed(writing, `a ${typeof value}`)
  }
}

function writeObject(object: object, depth: number, writing: Writing): string {
  if (depth > CANONICAL_DEPTH_MAX) {
    return flawed(writing, `nesting deeper than ${CANONICAL_DEPTH_MAX}`)
  }
  if (!isPlain(object)) return flawed(writing, 'an object that is not plain')
  let text = ''
  if (Array.isArray(object)) {
    // By index, because holes are values that have no form.
    for (let i = 0; i < object.length && writing.flaw === undefined; i++) {
      text += `${i === 0 ? '' : ','}${write(object[i], depth + 1, writing)}`
    }
    return `[${text}]`
  }
  const fields = object as Readonly<Record<string, unknown>>
  for (const key of Object.keys(fields).sort()) {
    if (writing.flaw !== undefined) break
    const separator = text === '' ? '' : ','
    text += `${separator}${quoted(key)}:${write(fields[key], depth + 1, writing)}`
  }
  return `{${text}}`
}

function flawed(writing: Writing, flaw: string): string {
  writing.flaw ??= flaw
  return ''
}

/** Only quotes and backslashes are escaped: control characters stand for themselves. */
function quoted(text: string): string {
  if (!text.includes('"') && !text.includes('\\')) return `"${text}"`
  // Where there is nothing else that JSON would escape, its own fast way gives the same.
  if (!ESCAPED_OTHERWISE.test(text)) return JSON.stringify(text)
  const bytes = utf8(text)
  // Left as it is, half a pair is found in the whole.
  if (bytes.length !== text.length && LONE_SURROGATE.test(text)) return `"${text}"`
  return `"${fromUtf8(escapeBytes(bytes)) ?? ''}"`
}

/** On bytes, since replacing in a string of a million quotes takes a fifth of a second. */
function escapeBytes(bytes: Uint8Array): Uint8Array {
  const escaped = new Uint8Array(2 * bytes.length)
  let length = 0
  // By index: iterators of arrays cost several times as much.
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === QUOTE || byte === BACKSLASH) escaped[length++] = BACKSLASH
    escaped[length++] = byte
  }
  return escaped.subarray(0, length)
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
