/**
 * The messages of one gRPC stream, out of its bytes and into them (github.com/grpc/grpc,
 * doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message"). Invariant: no more than one message of
 * `bytesMax` is kept, compressed or not.
 */
import { gunzipSync, inflateSync } from 'node:zlib'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { tooLarge } from './read-body.ts'

export interface FrameReader {
  /**
   * Takes bytes, and gives the messages that are whole now to `visit`.
   * Errors: `request.*`, after the messages before; the stream is lost then.
   */
  push(chunk: Buffer, visit: (message: Uint8Array) => void): Result<undefined>
  /** Bytes kept of a message that is not whole yet. */
  held(): number
  /** Errors: `request.malformed` within a message. */
  end(): Result<undefined>
}

/** A byte that says whether the message is compressed, and its length. */
const PREFIX_BYTES = 5

/** @param encoding `grpc-encoding` of the call. */
export function createFrameReader(bytesMax: number, encoding: string | undefined): FrameReader {
  let chunks: Buffer[] = []
  let total = 0
  /** Of the message that is being read. */
  let head: { readonly isCompressed: boolean; readonly length: number } | undefined
  const take = (count: number): Buffer => {
    const whole = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, total)
    chunks = [whole.subarray(count)]
    total -= count
    return whole.subarray(0, count)
  }
  return {
    push(chunk, visit) {
      chunks.push(chunk)
      total += chunk.length
      while (total >= (head?.length ?? PREFIX_BYTES)) {
        if (head === undefined) {
          const prefix = take(PREFIX_BYTES)
          head = { isCompressed: prefix[0] !== 0, length: prefix.readUInt32BE(1) }
          if (head.length > bytesMax) return tooLarge(bytesMax, `${head.length}`)
          continue
        }
        const bytes = take(head.length)
        const message = head.isCompressed ? inflate(bytes, encoding, bytesMax) : ok(bytes)
        if (!message.ok) return message
        visit(message.value)
        head = undefined
      }
      return ok()
    },
    held: () => total,
    end() {
      if (head === undefined && total === 0) return ok()
      return refuse('request.malformed', 'The stream ends within a message.', {
        expected: `${head?.length ?? PREFIX_BYTES} bytes`,
        found: `${total}`,
      })
    },
  }
}

const INFLATERS = { gzip: gunzipSync, deflate: inflateSync }

function inflate(
  bytes: Uint8Array,
  encoding: string | undefined,
  bytesMax: number,
): Result<Uint8Array> {
  if (encoding !== 'gzip' && encoding !== 'deflate') {
    return refuse('request.encoding', 'This compression is not read here.', {
      expected: 'grpc-encoding gzip or deflate',
      found: encoding ?? 'none',
    })
  }
  try {
    return ok(INFLATERS[encoding](bytes, { maxOutputLength: bytesMax }))
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(bytesMax, 'more when inflated')
    return refuse('request.malformed', 'A message is not what grpc-encoding says.', {
      expected: encoding,
    })
  }
}

/** A message as it goes out, not compressed. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, PREFIX_BYTES)
  return framed
}
