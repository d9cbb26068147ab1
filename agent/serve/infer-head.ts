/**
 * The head of a `POST .../infer` in HTTP/1.1, as every usual client writes it. Invariant: a head that
 * is read here means to Node's parser the same as it does here; one that could be doubted, by its
 * form, a field that changes how messages are framed, or a field told twice, is left to Node's, which
 * reads or refuses it. Source: RFC 9112, 2 to 6. Pure.
 */
import { wantedEncoding } from './compression.ts'

export interface InferHead {
  readonly model: string
  readonly version: string | undefined
  /** Content-Length. */
  readonly bodyBytes: number
  readonly host: string
  readonly origin: string | undefined
  /** `Inference-Header-Content-Length`, as it was sent; the next two as well. */
  readonly headerLength: string | undefined
  readonly forcedArm: string | undefined
  readonly priority: string | undefined
}

export const HEAD_BYTES_MAX = 8_192
const LINES_MAX = 64

/** Names as the schemas have them: whatever needs decoding is left. */
const REQUEST_LINE = /^POST \/v2\/models\/([\w.-]+)(?:\/versions\/([\w.-]+))?\/infer HTTP\/1\.1$/
/** A token, a colon, one space or none, a value that ends in none (RFC 9110, 5.5 and 5.6.2). */
const FIELD = /^([\w!#$%&'*+.^`|~-]+): ?(\S[^\r\n]*)$/
const CONTROL = /[^\t\r\n\x20-\x7e\x80-\xff]/
const LENGTH = /^\d{1,15}$/
const READ = new Set([
  'host',
  'origin',
  'connection',
  'content-length',
  'accept-encoding',
  'inference-header-content-length',
  'linnet-arm',
  'linnet-priority',
])
const LEFT = new Set([
  'transfer-encoding',
  'content-encoding',
  'expect',
  'upgrade',
  'trailer',
  'proxy-connection',
])

/** @param text in latin1, from the first byte to the line break of the last field. */
export function readInferHead(text: string): InferHead | undefined {
  if (CONTROL.test(text) || !text.endsWith('\r\n')) return undefined
  const [requestLine = '', ...lines] = text.slice(0, -2).split('\r\n')
  const target = REQUEST_LINE.exec(requestLine)
  if (target === null || lines.length > LINES_MAX) return undefined
  const fields = readFields(lines)
  const host = fields?.get('host')
  const length = fields?.get('content-length')
  if (fields === undefined || host === undefined || length === undefined) return undefined
  const staysOpen = (fields.get('connection') ?? 'keep-alive').toLowerCase() === 'keep-alive'
  const isPlain = wantedEncoding(fields.get('accept-encoding')) === undefined
  if (!staysOpen || !isPlain || !LENGTH.test(length)) return undefined
  return {
    model: target[1] ?? '',
    version: target[2],
    bodyBytes: Number(length),
    host,
    origin: fields.get('origin'),
    headerLength: fields.get('inference-header-content-length'),
    forcedArm: fields.get('linnet-arm'),
    priority: fields.get('linnet-priority'),
  }
}

/** Those that are read; undefined when one is told twice, or means more than is understood here. */
function readFields(lines: readonly string[]): ReadonlyMap<string, string> | undefined {
  const fields = new Map<string, string>()
  for (const line of lines) {
    const [, written, value] = FIELD.exec(line) ?? []
    if (written === undefined || value === undefined || /\s$/.test(value)) return undefined
    const name = written.toLowerCase()
    if (LEFT.has(name) || fields.has(name)) return undefined
    if (READ.has(name)) fields.set(name, value)
  }
  return fields
}
