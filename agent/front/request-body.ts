/**
 * The body of a request on its way through the front: as much of it is read as is needed to know where
 * it belongs, then it is passed on, the rest as it comes.
 *
 * A body whose JSON part is marked off by `Inference-Header-Content-Length` goes on as soon as that
 * part is there; any other is read whole, for its session may be named at its end. Invariants: no more
 * than `bytesMax` of one body is kept; of all that are still coming in no more than
 * `INCOMING_BYTES_MAX`, past which the connection that has held on longest is cut; of all that are
 * whole and wait for their host no more than `WHOLE_BYTES_MAX`, past which the newest is refused.
 */
import type { IncomingMessage } from 'node:http'
import { err, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import { createByteLedger } from '../serve/byte-ledger.ts'
import { tooLarge } from '../serve/read-body.ts'

export interface RequestBody {
  /** What was read, in order. */
  readonly chunks: readonly Buffer[]
  /** Nothing follows. */
  readonly isWhole: boolean
  /** Gives the memory back; the chunks are not to be used after. */
  release(): void
}

export interface BodyReader {
  /** Calls back once; not at all when the client left. */
  read(
    request: IncomingMessage,
    headBytes: number | undefined,
    done: (body: Result<RequestBody>) => void,
  ): void
}

/** Of all together; how long these are held depends on those who send them. */
const INCOMING_BYTES_MAX = 256 * 1024 * 1024
/** Of all together; these are held for as long as their hosts take, which has a deadline. */
const WHOLE_BYTES_MAX = 512 * 1024 * 1024
/** A small body is read whole, which costs less than passing it on in pieces. */
const SMALL_BYTES_MAX = 1024 * 1024

export function createBodyReader(
  bytesMax: number,
  { incomingBytesMax = INCOMING_BYTES_MAX, wholeBytesMax = WHOLE_BYTES_MAX } = {},
): BodyReader {
  const incoming = createByteLedger(incomingBytesMax)
  let wholeBytes = 0
  return {
    read(request, headBytes, done) {
      const chunks: Buffer[] = []
      let own = 0
      let ownWhole = 0
      const holder = incoming.enter(() => request.destroy())
      const release = (): void => {
        holder.leave()
        wholeBytes -= ownWhole
        ownWhole = 0
      }
      const declared = Number(request.headers['content-length'] ?? Infinity)
      const enough = headBytes === undefined || declared <= SMALL_BYTES_MAX ? Infinity : headBytes
      const stop = (): void => {
        request.off('data', keep)
        request.off('end', end)
        request.off('close', leave)
      }
      const fail = (problem: Problem): void => {
        stop()
        release()
        done(err(problem))
      }
      const keep = (chunk: Buffer): void => {
        own += chunk.length
        if (own > bytesMax) {
          fail(tooLarge(bytesMax, `more than ${bytesMax}`).error)
          return
        }
        chunks.push(chunk)
        holder.add(chunk.length)
        if (own >= enough) {
          stop()
          request.pause()
          done({ ok: true, value: { chunks, isWhole: false, release } })
        }
      }
      const end = (): void => {
        if (wholeBytes + own > wholeBytesMax) {
          fail(overloaded(wholeBytesMax))
          return
        }
        stop()
        holder.leave()
        ownWhole = own
        wholeBytes += own
        done({ ok: true, value: { chunks, isWhole: true, release } })
      }
      const leave = (): void => {
        stop()
        release()
      }
      request.on('data', keep)
      request.on('end', end)
      request.on('close', leave)
      // A sender that breaks off is gone; its connection is closed by the server.
      request.on('error', () => undefined)
    },
  }
}

function overloaded(wholeBytesMax: number): Problem {
  return refuse('infer.overloaded', 'Too many large requests are under way.', {
    expected: `at most ${wholeBytesMax} bytes of them`,
    next: 'try again in 1 s',
  }).error
}
