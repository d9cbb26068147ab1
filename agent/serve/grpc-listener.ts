/**
 * gRPC over cleartext HTTP/2 on loopback, for unary calls: frames, deadlines and statuses
 * (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md). What the calls mean is left to grpc-calls.ts.
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
import {
  describeProblem,
  type Problem,
  type Result,
  refuse,
  toProblem,
} from '../../shared/kernel/result.ts'
import type { DataPlane } from '../data-plane.ts'
import { callMethod, grpcStatusOf } from './grpc-calls.ts'
import { cannotListen } from './listen.ts'
import type { ModelRepository } from './model-repository.ts'
import { tooLarge } from './read-body.ts'

export interface GrpcListening {
  readonly port: number
  close(): Promise<void>
}

export interface GrpcOptions {
  readonly host: string
  readonly port: number
  readonly requestBytesMax: number
  readonly repository?: ModelRepository
}

const STREAMS_MAX = 128
const CONNECTIONS_MAX = 512
const IDLE_MS_MAX = 600_000
/** One window holds a usual image, so that a message needs no round trips. */
const WINDOW_BYTES = 1_048_576
/** A byte that says whether the message is compressed, and its length. */
const PREFIX_BYTES = 5

/** Errors (thrown): `serve.cannot_listen`. */
export function listenGrpc(plane: DataPlane, options: GrpcOptions): Promise<GrpcListening> {
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
  server.on('stream', (stream, headers) => answer(plane, stream, headers, options.requestBytesMax))
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
  bytesMax: number,
): void {
  const arrivedAtMs = plane.nowMs()
  // A client that resets its stream is gone; nothing is left to do.
  stream.on('error', () => undefined)
  if (headers[':method'] !== 'POST' || !headers['content-type']?.startsWith('application/grpc')) {
    stream.respond({ ':status': 415 }, { endStream: true })
    return
  }
  readMessage(stream, bytesMax, (message) => {
    if (!message.ok) return refuseCall(stream, message.error)
    const deadlineMs = timeoutMs(headers['grpc-timeout'])
    const isGone = (): boolean => stream.destroyed || stream.closed
    const call = { message: message.value, deadlineMs, arrivedAtMs, isGone }
    void Promise.resolve(callMethod(plane, headers[':path'] ?? '', call))
      .catch((cause: unknown) => refuse('infer.failed', toProblem(cause, '').message))
      .then((result) =>
        result.ok ? reply(stream, result.value) : refuseCall(stream, result.error),
      )
      .catch(() => stream.destroy())
  })
}

/** Calls back once, with the one message of a unary call; not at all when the client left. */
function readMessage(
  stream: ServerHttp2Stream,
  bytesMax: number,
  done: (message: Result<Uint8Array>) => void,
): void {
  let chunks: Buffer[] | undefined = []
  let total = 0
  stream.on('data', (chunk: Buffer) => {
    total += chunk.length
    if (chunks === undefined) return
    chunks.push(chunk)
    if (total <= bytesMax + PREFIX_BYTES) return
    chunks = undefined
    done(tooLarge(bytesMax, `more than ${bytesMax}`))
  })
  stream.on('end', () => {
    if (chunks !== undefined) done(unframe(Buffer.concat(chunks, total)))
  })
}

function unframe(body: Buffer): Result<Uint8Array> {
  const length = body.length < PREFIX_BYTES ? -1 : body.readUInt32BE(1)
  if (length !== body.length - PREFIX_BYTES) {
    return refuse('request.malformed', 'This is not one gRPC message.', {
      expected: 'a prefix of 5 bytes and as many bytes as it says',
      found: `${body.length} bytes`,
    })
  }
  if (body[0] === 0) return { ok: true, value: body.subarray(PREFIX_BYTES) }
  return refuse('request.encoding', 'Compressed messages are not read here.')
}

function reply(stream: ServerHttp2Stream, message: Uint8Array): void {
  if (stream.destroyed || stream.closed) return
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, PREFIX_BYTES)
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.end(framed)
}

function refuseCall(stream: ServerHttp2Stream, problem: Problem): void {
  if (stream.destroyed || stream.closed) return
  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': String(grpcStatusOf(problem)),
      'grpc-message': percentEncoded(describeProblem(problem)),
      'linnet-code': problem.code,
    },
    { endStream: true },
  )
}

/** UTF-8, with printable ASCII as it is ("Percent-Encoded" in the protocol). */
const percentEncoded = (text: string): string =>
  text.replaceAll(/[^\x20-\x24\x26-\x7e]+/g, encodeURIComponent)

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
