/**
 * The plain bytes of a compressed body, in which the front looks for its session; what is passed on
 * stays compressed. Invariant: of all bodies that are being inflated no more than `heldBytesMax` plain
 * bytes are kept, past which the request that asked for one more is refused.
 */
import { createGunzip, createInflate } from 'node:zlib'
import { err, ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { isEncoding } from '../serve/compression.ts'

export interface BodyInflater {
  /**
   * Calls back once; the bytes are counted until it returns. A body that cannot be read, or is larger
   * than a request may be, is empty: the host says what is wrong with it. Errors: `infer.overloaded`.
   */
  inflate(body: Buffer, encoding: string, done: (plain: Result<Buffer>) => void): void
  /** Plain bytes that are held now. */
  held(): number
}

const HELD_BYTES_MAX = 256 * 1024 * 1024
const EMPTY = Buffer.alloc(0)

export function createBodyInflater(bytesMax: number, heldBytesMax = HELD_BYTES_MAX): BodyInflater {
  let held = 0
  return {
    held: () => held,
    inflate(body, encoding, done) {
      if (!isEncoding(encoding)) return done(ok(EMPTY))
      const inflating = encoding === 'gzip' ? createGunzip() : createInflate()
      const chunks: Buffer[] = []
      let own = 0
      let isOver = false
      const over = (plain: Result<Buffer>): void => {
        if (isOver) return
        isOver = true
        inflating.destroy()
        done(plain)
        held -= own
      }
      inflating.on('data', (chunk: Buffer) => {
        if (isOver) return
        own += chunk.length
        held += chunk.length
        chunks.push(chunk)
        if (own > bytesMax) over(ok(EMPTY))
        else if (held > heldBytesMax) over(overloaded(heldBytesMax))
      })
      inflating.on('end', () => over(ok(Buffer.concat(chunks))))
      inflating.on('error', () => over(ok(EMPTY)))
      inflating.end(body)
    },
  }
}

function overloaded(heldBytesMax: number): Result<never> {
  const { error } = refuse('infer.overloaded', 'Too many compressed requests are being read.', {
    expected: `at most ${heldBytesMax} bytes of them, inflated`,
    next: 'try again in 1 s',
  })
  return err(error)
}
