/**
 * Files over HTTP with ranges (RFC 9110, clause 14): one range is served as 206, one that cannot be
 * satisfied is 416, several in one request are answered with the whole file, as the clause allows.
 * Entity tags are strong, so that a resumed download never mixes two files.
 */
import { problemBody } from './answers.ts'

export interface ServedFile {
  readonly length: number
  readonly mediaType: string
  /** Strong entity tag: changes with every change of the bytes; a digest where there is one. */
  readonly tag: string
  /** For names that hold the digest. */
  readonly immutable: boolean
  /** Bytes from `start` up to, not including, `end`. */
  open(start: number, end: number): ReadableStream<Uint8Array>
}

type ByteRange = { readonly start: number; readonly end: number }

/** @returns undefined for a header that is to be ignored; `unsatisfiable` for 416. */
export function parseRange(
  header: string,
  length: number,
): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header.replaceAll(' ', ''))
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  const [first, last] = [match[1] ?? '', match[2] ?? '']
  if (first === '') {
    const suffix = Math.min(Number(last), length)
    return suffix === 0 ? 'unsatisfiable' : { start: length - suffix, end: length }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return undefined
  if (start >= length) return 'unsatisfiable'
  return { start, end: last === '' ? length : Math.min(Number(last) + 1, length) }
}

export function fileAnswer(request: Request, file: ServedFile): Response {
  const tag = `"${file.tag}"`
  const headers: Record<string, string> = {
    'accept-ranges': 'bytes',
    'content-type': file.mediaType,
    'cache-control': file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    etag: tag,
  }
  const known = request.headers.get('if-none-match')
  if (known?.split(',').some((t) => [tag, '*', `W/${tag}`].includes(t.trim()))) {
    return new Response(null, { status: 304, headers })
  }
  const condition = request.headers.get('if-range')
  const header = request.headers.get('range')
  // If-Range with another tag (or a date, which is no strong validator here): the whole file.
  const asked = header !== null && (condition === null || condition === tag)
  const range = asked ? parseRange(header, file.length) : undefined
  if (range === 'unsatisfiable') {
    const problem = {
      code: 'http.range',
      message: 'The range lies outside the file.',
      expected: `a range within ${file.length} bytes`,
      found: header ?? '',
    }
    return new Response(JSON.stringify(problemBody(problem)), {
      status: 416,
      headers: { 'content-type': 'application/json', 'content-range': `bytes */${file.length}` },
    })
  }
  const { start, end } = range ?? { start: 0, end: file.length }
  headers['content-length'] = String(end - start)
  if (range !== undefined) headers['content-range'] = `bytes ${start}-${end - 1}/${file.length}`
  const body = request.method === 'HEAD' ? null : file.open(start, end)
  return new Response(body, { status: range === undefined ? 200 : 206, headers })
}

/** A file that is already in memory, as metadata are. */
export function memoryFile(
  bytes: Uint8Array,
  about: Pick<ServedFile, 'mediaType' | 'tag' | 'immutable'>,
): ServedFile {
  return {
    ...about,
    length: bytes.length,
    open: (start, end) =>
      new ReadableStream({
        start(stream) {
          stream.enqueue(bytes.slice(start, end))
          stream.close()
        },
      }),
  }
}
