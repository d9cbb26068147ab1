/**
 * A call with a stream of messages both ways. Invariants: each message gets one answer, in the order
 * of the messages; at most `UNDER_WAY_MAX` are computed at a time, and a client that does not read
 * its answers is not read from either.
 */
import type { ServerHttp2Stream } from 'node:http2'
import { describeProblem, type Problem, toProblem } from '../../shared/kernel/result.ts'
import type { Holder } from './byte-ledger.ts'
import { grpcStatusOf } from './grpc-calls.ts'
import { type FrameReader, frame } from './grpc-frames.ts'

const UNDER_WAY_MAX = 32

/** @param handle never refuses: what fails stands in the message that answers. */
export function answerStream(
  stream: ServerHttp2Stream,
  frames: FrameReader,
  holder: Holder,
  handle: (message: Uint8Array) => Promise<Uint8Array>,
): void {
  const waiting: Uint8Array[] = []
  let trailers: Record<string, string> = { 'grpc-status': '0' }
  let written: Promise<unknown> = Promise.resolve()
  let underWay = 0
  let waitingBytes = 0
  let unreadBytes = 0
  let isOver = false
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))

  /** What the model computes on is in its line, with a limit of its own. */
  function hold(): void {
    holder.set(frames.held() + waitingBytes + unreadBytes)
  }

  function start(): void {
    while (underWay < UNDER_WAY_MAX && waiting.length > 0) {
      underWay += 1
      const message = waiting.shift()!
      waitingBytes -= message.length
      const answered = handle(message).then((answer) => {
        unreadBytes += answer.length
        hold()
        return answer
      })
      written = written.then(() => answered).then(finishOne, giveUp)
    }
    hold()
    if (waiting.length > 0) stream.pause()
    else if (stream.isPaused()) stream.resume()
    if (isOver && underWay === 0 && isOpen(stream)) stream.end()
  }

  async function finishOne(message: Uint8Array): Promise<void> {
    await write(stream, message)
    unreadBytes -= message.length
    underWay -= 1
    start()
  }

  function giveUp(cause: unknown): void {
    close(toProblem(cause, 'infer.failed'))
    underWay -= 1
    start()
  }

  /** Ends after the answers to all messages before. */
  function close(problem: Problem | undefined): void {
    if (problem !== undefined) trailers = refusalTrailers(problem)
    isOver = true
  }

  stream.on('data', (chunk: Buffer) => {
    if (isOver) return
    const read = frames.push(chunk, (message) => {
      waiting.push(message)
      waitingBytes += message.length
    })
    if (!read.ok) close(read.error)
    start()
  })
  stream.on('end', () => {
    const ended = frames.end()
    if (!isOver) close(ended.ok ? undefined : ended.error)
    start()
  })
}

const isOpen = (stream: ServerHttp2Stream): boolean => !stream.destroyed && !stream.closed

async function write(stream: ServerHttp2Stream, message: Uint8Array): Promise<void> {
  if (!isOpen(stream) || stream.write(frame(message))) return
  await new Promise<void>((resolve) => {
    stream.once('drain', resolve)
    stream.once('close', resolve)
  })
}

/** How a call ends that is refused. */
export function refusalTrailers(problem: Problem): Record<string, string> {
  return {
    'grpc-status': String(grpcStatusOf(problem)),
    'grpc-message': percentEncoded(describeProblem(problem)),
    'linnet-code': problem.code,
  }
}

/** UTF-8, with printable ASCII as it is ("Percent-Encoded" in the protocol). */
const percentEncoded = (text: string): string =>
  text.replaceAll(/[^\x20-\x24\x26-\x7e]+/g, encodeURIComponent)
