/**
 * One connection on the short way (infer-lane.ts): from the bytes of its requests to their answers,
 * until it ends or is handed over. Invariants: one request at a time; what came behind it waits, and
 * nothing more is read, until its answer is written; once handed over, nothing here listens to it.
 */
import type { Socket } from 'node:net'
import type { DataPlane } from '../data-plane.ts'
import { type BodyBuffer, createBodyBuffer } from './body-buffer.ts'
import { type ByteLedger, type Holder, LARGE_BYTES } from './byte-ledger.ts'
import {
  HEADER_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  REQUEST_TIMEOUT_MS,
  SILENCE_MS_MAX,
} from './connection-limits.ts'
import { answerInfer, brokenAnswer } from './infer-exchange.ts'
import { HEAD_BYTES_MAX, type InferHead } from './infer-head.ts'
import type { WireAnswer } from './refusal.ts'
import { writeAnswer } from './write-answer.ts'

export interface LaneConnectionOptions {
  readonly plane: DataPlane
  readonly ledger: ByteLedger
  /** @returns undefined for what is not for this way. */
  readonly readHead: (text: string) => InferHead | undefined
  readonly socket: Socket
  /** Takes the socket, the bytes that were not for this way in front. */
  readonly handOver: () => void
}

/** A body that comes in pieces. */
interface Coming {
  readonly buffer: BodyBuffer
  readonly holder: Holder
  readonly timer: NodeJS.Timeout
}

const HEAD_END = Buffer.from('\r\n\r\n')

export class LaneConnection {
  readonly #options: LaneConnectionOptions
  readonly #socket: Socket
  /** The last head: clients say the same again and again. */
  #headText = ''
  #head: InferHead | undefined
  #arrivedAtMs = 0
  #coming: Coming | undefined
  /** Behind the request that is being answered. */
  #rest: Buffer | undefined
  #isBusy = false
  #isLast = false
  /** The client sends no more. Whether it still reads cannot be seen. */
  #hasEnded = false
  #silenceMs = HEADER_TIMEOUT_MS

  constructor(options: LaneConnectionOptions) {
    const { socket } = options
    this.#options = options
    this.#socket = socket
    socket.on('data', this.#onData)
    socket.on('timeout', this.#onTimeout)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#cut)
    socket.on('close', this.#forgetBody)
    socket.setTimeout(this.#silenceMs)
  }

  /** Ends it, behind the answer that is under way. */
  close(): void {
    this.#isLast = true
    if (!this.#isBusy && this.#coming === undefined) this.#cut()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#allow(SILENCE_MS_MAX)
    if (this.#isBusy) this.#keep(chunk)
    else if (this.#coming === undefined) this.#begin(chunk)
    else this.#addToBody(chunk, this.#coming)
  }

  #begin(chunk: Buffer): void {
    const end = chunk.indexOf(HEAD_END)
    const text = end < 0 || end > HEAD_BYTES_MAX ? '' : chunk.toString('latin1', 0, end + 2)
    if (text !== this.#headText) {
      this.#headText = text
      this.#head = this.#options.readHead(text)
    }
    const head = this.#head
    if (head === undefined) this.#leave(chunk)
    else this.#readBody(chunk.subarray(end + HEAD_END.length), head)
  }

  #readBody(behind: Buffer, head: InferHead): void {
    const { bodyBytes, headerLength } = head
    this.#arrivedAtMs = this.#options.plane.nowMs()
    if (behind.length >= bodyBytes) {
      if (behind.length > bodyBytes) this.#keep(behind.subarray(bodyBytes))
      this.#answer(behind.subarray(0, bodyBytes), head)
      return
    }
    this.#coming = {
      buffer: createBodyBuffer(bodyBytes, Number(headerLength ?? 0)),
      holder: this.#options.ledger.enter(this.#cut),
      timer: setTimeout(this.#cut, REQUEST_TIMEOUT_MS),
    }
    this.#addToBody(behind, this.#coming)
  }

  #addToBody(chunk: Buffer, { buffer, holder }: Coming): void {
    const taken = buffer.add(chunk)
    holder.add(taken)
    const body = buffer.whole()
    if (body === undefined || this.#head === undefined) return
    this.#forgetBody()
    if (taken < chunk.length) this.#keep(chunk.subarray(taken))
    this.#answer(body, this.#head)
  }

  readonly #forgetBody = (): void => {
    if (this.#coming === undefined) return
    clearTimeout(this.#coming.timer)
    this.#coming.holder.leave()
    this.#coming = undefined
  }

  #keep(chunk: Buffer): void {
    this.#rest = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    this.#socket.pause()
  }

  #answer(body: Uint8Array, head: InferHead): void {
    this.#isBusy = true
    const { model, version, headerLength, forcedArm, priority } = head
    const [arrivedAtMs, isGone] = [this.#arrivedAtMs, this.#isGone]
    answerInfer(this.#options.plane, {
      ...{ model, version, body, headerLength, forcedArm, priority, arrivedAtMs, isGone },
    })
      .then(this.#send, (cause: unknown) => this.#send(brokenAnswer(cause)))
      .catch(this.#cut)
  }

  readonly #isGone = (): boolean => this.#hasEnded || this.#socket.destroyed

  readonly #send = (answer: WireAnswer): void => {
    if (this.#socket.destroyed) return
    if (writeAnswer(this.#socket, answer, this.#isLast)) this.#goOn()
    else {
      if (answer.body.length >= LARGE_BYTES) this.#holdUntilRead(answer.body.length)
      this.#socket.once('drain', this.#goOn)
    }
  }

  /** Small answers lie in the system's own buffers; a large one waits here until its client reads. */
  #holdUntilRead(bytes: number): void {
    const holder = this.#options.ledger.enter(this.#cut)
    const free = (): void => {
      holder.leave()
      this.#socket.off('drain', free)
      this.#socket.off('close', free)
    }
    this.#socket.once('drain', free)
    this.#socket.once('close', free)
    holder.add(bytes)
  }

  readonly #goOn = (): void => {
    this.#isBusy = false
    if (this.#isLast) this.#socket.destroySoon()
    const chunk = this.#rest
    if (this.#isLast || chunk === undefined) return
    this.#rest = undefined
    this.#socket.resume()
    this.#begin(chunk)
  }

  /** Whoever left may not be run for; whoever only sends no more is answered all the same. */
  readonly #onEnd = (): void => {
    this.#hasEnded = true
    this.#isLast = true
    if (!this.#isBusy) this.#cut()
  }

  #allow(silenceMs: number): void {
    if (this.#silenceMs === silenceMs) return
    this.#silenceMs = silenceMs
    this.#socket.setTimeout(silenceMs)
  }

  /** Whoever asked for nothing may keep his connection longer than who is in the middle of it. */
  readonly #onTimeout = (): void => {
    const isIdle = !this.#isBusy && this.#coming === undefined
    if (isIdle && this.#silenceMs === SILENCE_MS_MAX) this.#allow(KEEP_ALIVE_MS - SILENCE_MS_MAX)
    else this.#cut()
  }

  readonly #cut = (): void => {
    this.#socket.destroy()
  }

  #leave(chunk: Buffer): void {
    const socket = this.#socket
    socket.off('data', this.#onData)
    socket.off('timeout', this.#onTimeout)
    socket.off('end', this.#onEnd)
    socket.off('error', this.#cut)
    socket.off('close', this.#forgetBody)
    socket.pause()
    socket.unshift(chunk)
    this.#options.handOver()
    socket.resume()
  }
}
