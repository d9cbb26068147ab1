/**
 * The stream that aedes sees in place of a client's socket: everything that comes in has passed the
 * packet guard, backpressure goes through in both directions, and it ends together with its source.
 * Invariant: it holds at most one chunk of the source while a CONNECT is being decided.
 */
import { Duplex } from 'node:stream'
import type { GuardRefusal, PacketGuard } from './packet-guard.ts'

/** Bytes waiting for a client before aedes counts it as stalled: above an ordinary burst. */
const WRITE_BUFFER_BYTES = 64 * 1024

export class GuardedStream extends Duplex {
  readonly #source: Duplex
  readonly #guard: PacketGuard
  readonly #onRefused: (refusal: GuardRefusal) => void
  #held: Buffer | undefined
  #sourceEnded = false

  /** @param onRefused must destroy this stream. */
  constructor(source: Duplex, guard: PacketGuard, onRefused: (refusal: GuardRefusal) => void) {
    super({ writableHighWaterMark: WRITE_BUFFER_BYTES, allowHalfOpen: false })
    this.#source = source
    this.#guard = guard
    this.#onRefused = onRefused
    source.on('data', (chunk: Buffer) => this.#take(chunk))
    source.on('end', () => {
      this.#sourceEnded = true
      if (this.#held === undefined) this.push(null)
    })
    source.on('error', (error) => this.destroy(error))
    source.on('close', () => this.destroy())
  }

  /** The CONNECT was accepted: what came behind it goes on. */
  accept(): void {
    this.#guard.accept()
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) this.#take(held)
    else this.#source.resume()
    if (this.#sourceEnded && this.#held === undefined) this.push(null)
  }

  #take(chunk: Buffer): void {
    if (this.destroyed) return
    const decision = this.#guard.admit(chunk)
    if ('refused' in decision) {
      this.#onRefused(decision.refused)
      return
    }
    const passing = chunk.subarray(0, decision.bytes)
    const waits = decision.bytes < chunk.length
    if (waits) this.#held = chunk.subarray(decision.bytes)
    const hasRoom = passing.length === 0 || this.push(passing)
    if (waits || !hasRoom) this.#source.pause()
    else this.#source.resume()
  }

  override _read(): void {
    if (this.#held === undefined) this.#source.resume()
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#source.write(chunk, done)
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#source.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#source.end(() => done())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#held = undefined
    this.#source.destroy()
    done(error)
  }
}
