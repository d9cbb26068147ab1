/**
 * Message <-> payload bytes. Two forms with one meaning, told apart by the first byte: CBOR, a
 * positional array that starts with the schema id (a window of 624 bytes in JSON is under 250), and
 * JSON by field names, so that `mosquitto_pub` and a person can speak too.
 *
 * Invariant: what `decodeMessage` returns has passed its zod schema, and windows their own checks.
 * Who sent the bytes and whether they are signed is frame.ts.
 */
import { z } from 'zod'
import { utf8 } from '../kernel/bytes.ts'
import { err, ok, type Problem, type Result, refuse } from '../kernel/result.ts'
import { parseJson } from '../signing/canonical-json.ts'
import { windowFromJson } from '../sketch/window-check.ts'
import { decodeCbor, encodeCbor } from './cbor-subset.ts'
import {
  type Ack,
  ackSchema,
  type NoticeMessage,
  noticeMessageSchema,
  type PresenceMessage,
  presenceMessageSchema,
  type ReportMessage,
  reportMessageSchema,
  type Telemetry,
  telemetryOfCheckedWindowsSchema,
  telemetrySchema,
} from './messages.ts'
import { fromPositional, toPositional } from './positional.ts'

export interface MessageOf {
  readonly presence: PresenceMessage
  readonly report: ReportMessage
  readonly telemetry: Telemetry
  readonly notice: NoticeMessage
  readonly ack: Ack
}
export type MessageKind = keyof MessageOf
export type WireForm = 'cbor' | 'json'

interface Codec {
  /** First element of the CBOR form; a change of the schema takes a new one. */
  readonly schemaId: number
  readonly schema: z.ZodType
  /** For what the positional form has checked in part on the way; `schema` where absent. */
  readonly decodedSchema?: z.ZodType
  /** Of the payload; with its frame it stays under the topic's limit (topics.ts). */
  readonly bytesMax: number
}

export const CODECS: Readonly<Record<MessageKind, Codec>> = {
  presence: { schemaId: 1, schema: presenceMessageSchema, bytesMax: 1_024 },
  report: { schemaId: 5, schema: reportMessageSchema, bytesMax: 61_440 },
  telemetry: {
    schemaId: 3,
    schema: telemetrySchema,
    decodedSchema: telemetryOfCheckedWindowsSchema,
    bytesMax: 61_440,
  },
  notice: { schemaId: 6, schema: noticeMessageSchema, bytesMax: 8_192 },
  ack: { schemaId: 16, schema: ackSchema, bytesMax: 8_192 },
}

const DEPTH_MAX = 12
const VALUES_MAX = 100_000

export function encodeMessage<K extends MessageKind>(
  kind: K,
  message: MessageOf[K],
  form: WireForm = 'cbor',
): Uint8Array {
  if (form === 'json') return utf8(JSON.stringify(message))
  const { schema, schemaId } = CODECS[kind]
  return encodeCbor([schemaId, toPositional(schema, message)])
}

/**
 * Errors: `message.too_large`, `message.malformed` (neither CBOR nor JSON of this schema, with the
 * first fields that do not fit), `window.inconsistent`, `counts.*`.
 */
export function decodeMessage<K extends MessageKind>(
  kind: K,
  bytes: Uint8Array,
): Result<MessageOf[K]> {
  const { schema, decodedSchema = schema, bytesMax } = CODECS[kind]
  if (bytes.length > bytesMax) {
    return refuse('message.too_large', `The ${kind} message is too large.`, {
      expected: `at most ${bytesMax} bytes`,
      found: `${bytes.length} bytes`,
    })
  }
  const isJson = formOf(bytes) === 'json'
  const raw = isJson ? readJson(kind, bytes) : readCbor(kind, bytes)
  if (!raw.ok) return raw
  const parsed = (isJson ? schema : decodedSchema).safeParse(raw.value)
  if (!parsed.success) return malformed(kind, z.prettifyError(parsed.error).slice(0, 300))
  const message = parsed.data as MessageOf[K]
  const flaw = isJson && kind === 'telemetry' ? windowFlaw(message as Telemetry) : undefined
  return flaw === undefined ? ok(message) : err(flaw)
}

/** JSON texts here are objects; no CBOR document here starts with a brace or a blank. */
export function formOf(bytes: Uint8Array): WireForm {
  const first = bytes[0]
  const isJson =
    first === 0x7b || first === 0x20 || first === 0x0a || first === 0x0d || first === 0x09
  return isJson ? 'json' : 'cbor'
}

function readJson(kind: MessageKind, bytes: Uint8Array): Result<unknown> {
  const bytesMax = CODECS[kind].bytesMax
  const parsed = parseJson(bytes, { bytesMax, depthMax: DEPTH_MAX, valuesMax: VALUES_MAX })
  return parsed.ok ? parsed : malformed(kind, parsed.error.message)
}

function readCbor(kind: MessageKind, bytes: Uint8Array): Result<unknown> {
  const { schemaId, schema, bytesMax } = CODECS[kind]
  const decoded = decodeCbor(bytes, { bytesMax, depthMax: DEPTH_MAX, itemsMax: VALUES_MAX })
  if (!decoded.ok) return malformed(kind, decoded.error.found ?? decoded.error.message)
  const wire = decoded.value
  if (!Array.isArray(wire) || wire.length !== 2 || wire[0] !== schemaId) {
    return malformed(kind, Array.isArray(wire) ? `schema ${String(wire[0])}` : typeof wire)
  }
  const problems: Problem[] = []
  const value = fromPositional(schema, wire[1], problems)
  return problems[0] === undefined ? ok(value) : err(problems[0])
}

/** The CBOR form has been through this once; JSON has not. */
function windowFlaw(telemetry: Telemetry): Problem | undefined {
  for (const { window } of telemetry.arms) {
    const checked = windowFromJson(window)
    if (!checked.ok) return checked.error
  }
  return undefined
}

function malformed(kind: MessageKind, found: string): Result<never> {
  return refuse('message.malformed', `The bytes are no ${kind} message.`, {
    expected: `CBOR [${CODECS[kind].schemaId}, [...]] or a JSON object of the same meaning`,
    found,
  })
}
