/**
 * gRPC over cleartext HTTP/2 on loopback: calls, deadlines and statuses (github.com/grpc/grpc,
 * doc/PROTOCOL-HTTP2.md). What the calls mean is left to grpc-calls.ts.
 * Invariants: every call is answered exactly once; of a message no more than `requestBytesMax` is
 * kept; streams and connections have limits.
 */
import {
  createServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { ok, type Problem, type Result, refuse, toProblem } from '../../shared/kernel/result.ts'
import type { DataPlane } from '../data-plane.ts'
import { type ByteLedger, createByteLedger, type Holder, LARGE_BYTES } from './byte-ledger.ts'
import { callMethod, type GrpcTarget, streamedMethod } from './grpc-calls.ts'
import { createFrameReader, type FrameReader, frame } from './grpc-frames.ts'
import { answerStream, refusalTrailers } from './grpc-stream.ts'
import { cannotListen } from './listen.ts'
import { bearerToken, CLOSED_REPOSITORY, type ModelRepository } from './model-repository.ts'

export interface GrpcListening {
  readonly port: number
  close(): Promise<void>
}

export interface GrpcOptions extends Pick<GrpcTarget, 'serverName'> {
  readonly host: string
  readonly port: number
  readonly requestBytesMax: number
  readonly repository?: ModelRepository
  /** Of this process; absent: one of its own. */
  readonly ledger?: ByteLedger
}

const STREAMS_MAX = 128
const CONNECTIONS_MAX = 512
const IDLE_MS_MAX = 600_000
/** RFC 9113, 7. */
const CANCEL = 8
/** Of a stream that holds bytes here and moves none; longer than any answer takes to compute. */
const SILENCE_MS_MAX = 30_000
/** One window holds a usual image, so that a message needs no round trips. */
const WINDOW_BYTES = 1_048_576

/** Errors (thrown): `serve.cannot_listen`. */
export function listenGrpc(plane: DataPlane, options: GrpcOptions): Promise<GrpcListening> {
  const { ledger = createByteLedger() } = options
  const settings = { maxConcurrentStreams: STREAMS_MAX, initialWindowSize: WINDOW_BYTES }
  const server = createServer({ settings })
  const sessions = new Set<Http2Session>()
  server.maxConnections = CONNECTIONS_MAX
  // Head, message and trailers are small writes; without this each would wait for the other's receipt.
  server.on('connection', (socket: Socket) => socket.setNoDelay(true))
  server.on('session', (session) => {
    sessions.add(session)
    session.setTimeout(IDLE_MS_MAX, () => session.close())
    session.on('error', () => session.destroy())
    session.on('close', () => sessions.delete(session))
  })
  server.on('stream', (stream, headers) => answer(plane, stream, headers, { ...options, ledger }))
  return new Promise((resolve, reject) => {
    const name = `${options.host}:${options.port}`
    server.once('error', (cause) => reject(cannotListen(name, cause)))
    server.listen(options.port, options.host, () =>
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed())
            for (const session of sessions) session.close()
          }),
      }),
    )
  })
}

function answer(
  plane: DataPlane,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  options: GrpcOptions & { ledger: ByteLedger },
): void {
  const arrivedAtMs = plane.nowMs()
  // A client that resets its stream is gone; nothing is left to do.
  stream.on('error', () => undefined)
  if (headers[':method'] !== 'POST' || !headers['content-type']?.startsWith('application/grpc')) {
    stream.respond({ ':status': 415 }, { endStream: true })
    return
  }
  const { requestBytesMax, repository = CLOSED_REPOSITORY, ledger, serverName } = options
  const holder = ledger.enter(() => stream.destroy())
  stream.once('close', holder.leave)
  const frames = createFrameReader(requestBytesMax, single(headers['grpc-encoding']))
  const target = { plane, repository, serverName }
  const common = {
    token: bearerToken(headers.authorization),
    isGone: (): boolean => stream.destroyed || stream.closed,
  }
  const timeout = timeoutMs(headers['grpc-timeout'])
  const path = headers[':path'] ?? ''
  const handle = streamedMethod(path)
  if (handle !== undefined) {
    cutWhenSilent(stream, () => holder.held() > 0)
    answerStream(stream, frames, holder, (message) => {
      // The time limit is the whole stream's.
      const atMs = plane.nowMs()
      const deadlineMs = timeout && Math.max(0, timeout - (atMs - arrivedAtMs))
      return handle(target, { ...common, message, deadlineMs, arrivedAtMs: atMs })
    })
    return
  }
  cutWhenSilent(stream, () => !stream.readableEnded || holder.held() > 0)
  readOne(stream, frames, holder, (message) => {
    if (!message.ok) return refuseCall(stream, message.error)
    const call = { ...common, message: message.value, deadlineMs: timeout, arrivedAtMs }
    void Promise.resolve(callMethod(target, path, call))
      .catch((cause: unknown) => refuse('infer.failed', toProblem(cause, '').message))
      .then((result) =>
        result.ok ? reply(stream, result.value, holder) : refuseCall(stream, result.error),
      )
      .catch(() => stream.destroy())
  })
}

/** Calls back once, with the one message of a unary call; not at all when the client left. */
function readOne(
  stream: ServerHttp2Stream,
  frames: FrameReader,
  holder: Holder,
  done: (message: Result<Uint8Array>) => void,
): void {
  let message: Uint8Array | undefined
  let count = 0
  let isSettled = false
  const settle = (result: Result<Uint8Array>): void => {
    isSettled = true
    holder.set(0)
    done(result)
  }
  stream.on('data', (chunk: Buffer) => {
    if (isSettled) return
    const read = frames.push(chunk, (next) => {
      message = next
      count += 1
    })
    holder.set(frames.held() + (message?.length ?? 0))
    if (!read.ok) settle(read)
    else if (count > 1) settle(notOne('more'))
  })
  stream.on('end', () => {
    if (isSettled) return
    const ended = frames.end()
    if (!ended.ok) settle(ended)
    else settle(message === undefined ? notOne('none') : ok(message))
  })
}

/** @param isHolding whether its silence keeps anything from others. */
function cutWhenSilent(stream: ServerHttp2Stream, isHolding: () => boolean): void {
  stream.setTimeout(SILENCE_MS_MAX)
  stream.on('timeout', () => {
    if (isHolding()) stream.close(CANCEL)
  })
}

function notOne(found: string): Result<never> {
  return refuse('request.malformed', 'This is not one gRPC message.', {
    expected: 'a prefix of 5 bytes and as many bytes as it says',
    found,
  })
}

function reply(stream: ServerHttp2Stream, message: Uint8Array, holder: Holder): void {
  if (stream.destroyed || stream.closed) return
  if (message.length >= LARGE_BYTES) holder.set(message.length)
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.end(frame(message))
}

function refuseCall(stream: ServerHttp2Stream, problem: Problem): void {
  if (stream.destroyed || stream.closed) return
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc', ...refusalTrailers(problem) },
    { endStream: true },
  )
}

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
}

/** `100m` -> 100; what is no timeout is none. */
function timeoutMs(header: string | string[] | undefined): number | undefined {
  const parts = /^(\d{1,8})([HMSmun])$/.exec(String(header))
  return parts === null ? undefined : Number(parts[1]) * (UNIT_MS[parts[2]!] ?? 0)
}

const single = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header
