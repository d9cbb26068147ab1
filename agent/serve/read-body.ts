/**
 * A request's body, whole, up to a limit. With a declared length the server's own fast path is used;
 * a chunked or compressed body is counted while it is read, so no sender can fill the memory.
 */
import { concatBytes } from '../../shared/kernel/bytes.ts'
import { type Err, ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { type Encoding, inflating, isEncoding } from './compression.ts'

/** Errors: `request.too_large`, `request.encoding`, `request.malformed`. */
export async function readBody(request: Request, bytesMax: number): Promise<Result<Uint8Array>> {
  const encoding = request.headers.get('content-encoding')?.toLowerCase() ?? 'identity'
  const declared = request.headers.get('content-length')
  if (declared !== null && Number(declared) > bytesMax) return tooLarge(bytesMax, declared)
  if (isEncoding(encoding) && request.body) return readInflated(request.body, encoding, bytesMax)
  if (encoding !== 'identity') {
    return refuse('request.encoding', 'This encoding is not read here.', {
      expected: 'gzip, deflate, or no Content-Encoding',
      found: encoding.slice(0, 64),
    })
  }
  // Some browsers have no stream in a request; there it comes from the page's own thread, whole.
  if (declared === null && request.body) return readCounted(request.body, bytesMax)
  const body = new Uint8Array(await request.arrayBuffer())
  return body.length > bytesMax ? tooLarge(bytesMax, `${body.length}`) : ok(body)
}

async function readInflated(
  body: ReadableStream<Uint8Array>,
  encoding: Encoding,
  bytesMax: number,
): Promise<Result<Uint8Array>> {
  try {
    return await readCounted(inflating(body, encoding), bytesMax)
  } catch {
    return refuse('request.malformed', 'The body is not what its Content-Encoding says.', {
      expected: encoding,
    })
  }
}

async function readCounted(
  body: ReadableStream<Uint8Array>,
  bytesMax: number,
): Promise<Result<Uint8Array>> {
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of body) {
    total += chunk.length
    if (total > bytesMax) return tooLarge(bytesMax, `more than ${bytesMax}`)
    chunks.push(chunk)
  }
  return ok(concatBytes(...chunks))
}

export function tooLarge(bytesMax: number, found: string): Err {
  return refuse('request.too_large', 'The request is too large.', {
    expected: `at most ${bytesMax} bytes`,
    found,
  })
}
