/**
 * A request's body, whole, up to a limit. With a declared length the server's own fast path is used;
 * a chunked or compressed body is counted while it is read, so no sender can fill the memory.
 */
import { concatBytes } from '../../shared/kernel/bytes.ts'
import { type Err, ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Holder } from './byte-ledger.ts'
import { type Encoding, inflating, isEncoding } from './compression.ts'

/**
 * @param holder told of the bytes while they come in; left once all are read.
 * Errors: `request.too_large`, `request.encoding`, `request.malformed`.
 */
export async function readBody(
  request: Request,
  bytesMax: number,
  holder?: Holder,
): Promise<Result<Uint8Array>> {
  try {
    return await readEncoded(request, bytesMax, holder)
  } finally {
    holder?.leave()
  }
}

async function readEncoded(
  request: Request,
  bytesMax: number,
  holder: Holder | undefined,
): Promise<Result<Uint8Array>> {
  const encoding = request.headers.get('content-encoding')?.toLowerCase() ?? 'identity'
  const declared = request.headers.get('content-length')
  if (declared !== null && Number(declared) > bytesMax) return tooLarge(bytesMax, declared)
  if (isEncoding(encoding) && request.body) {
    return readInflated(request.body, encoding, bytesMax, holder)
  }
  if (encoding !== 'identity') {
    return refuse('request.encoding', 'This encoding is not read here.', {
      expected: 'gzip, deflate, or no Content-Encoding',
      found: encoding.slice(0, 64),
    })
  }
  // Some browsers have no stream in a request; there it comes from the page's own thread, whole.
  if ((declared === null || holder !== undefined) && request.body) {
    return readCounted(request.body, bytesMax, holder)
  }
  const body = new Uint8Array(await request.arrayBuffer())
  return body.length > bytesMax ? tooLarge(bytesMax, `${body.length}`) : ok(body)
}

async function readInflated(
  body: ReadableStream<Uint8Array>,
  encoding: Encoding,
  bytesMax: number,
  holder: Holder | undefined,
): Promise<Result<Uint8Array>> {
  try {
    return await readCounted(inflating(body, encoding), bytesMax, holder)
  } catch {
    return refuse('request.malformed', 'The body is not what its Content-Encoding says.', {
      expected: encoding,
    })
  }
}

async function readCounted(
  body: ReadableStream<Uint8Array>,
  bytesMax: number,
  holder: Holder | undefined,
): Promise<Result<Uint8Array>> {
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of body) {
    total += chunk.length
    if (total > bytesMax) return tooLarge(bytesMax, `more than ${bytesMax}`)
    chunks.push(chunk)
    holder?.add(chunk.length)
  }
  return ok(concatBytes(...chunks))
}

export function tooLarge(bytesMax: number, found: string): Err {
  return refuse('request.too_large', 'The request is too large.', {
    expected: `at most ${bytesMax} bytes`,
    found,
  })
}
