/**
 * The body of a request on its way through the front: as much of it is read as is needed to know where
 * it belongs, then it is passed on, the rest as it comes.
 *
 * A body whose JSON part is marked off by `Inference-Header-Content-Length` goes on as soon as that
 * part is there; any other is read whole, for its session may be named at its end. Invariants: no more
 * than `bytesMax` of one body is kept, and no more than `HELD_BYTES_MAX` of all together.
 */
import type { IncomingMessage } from 'node:http'
import { err, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
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

/** For all requests under way together. */
const HELD_BYTES_MAX = 512 * 1024 * 1024
/** A small body is read whole, which costs less than passing it on in pieces. */
const WHOLE_BYTES_MAX = 1024 * 1024

export function createBodyReader(bytesMax: number): BodyReader {
  let heldBytes = 0
  return {
    read(request, headBytes, done) {
      const chunks: Buffer[] = []
      let own = 0
      const release = (): void => {
        heldBytes -= own
        own = 0
      }
      const declared = Number(request.headers['content-length'] ?? Infinity)
      const enough = headBytes === undefined || declared <= WHOLE_BYTES_MAX ? Infinity : headBytes
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
        heldBytes += chunk.length
        chunks.push(chunk)
        if (own > bytesMax) fail(tooLarge(bytesMax, `more than ${bytesMax}`).error)
        else if (heldBytes > HELD_BYTES_MAX) fail(overloaded())
        else if (own >= enough) {
          stop()
          request.pause()
          done({ ok: true, value: { chunks, isWhole: false, release } })
        }
      }
      const end = (): void => {
        stop()
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

function overloaded(): Problem {
  return refuse('infer.overloaded', 'Too many large requests are under way.', {
    expected: `at most ${HELD_BYTES_MAX} bytes of them`,
    next: 'try again in 1 s',
  }).error
}
