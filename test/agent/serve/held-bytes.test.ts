/** Whatever door a client takes, what it makes the host hold stands in the one ledger. */
import { once } from 'node:events'
import { type ClientHttp2Session, connect } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type ByteLedger, createByteLedger } from '../../../agent/serve/byte-ledger.ts'
import { type GrpcListening, listenGrpc } from '../../../agent/serve/grpc-listener.ts'
import { createInferLane } from '../../../agent/serve/infer-lane.ts'
import { createInferListener } from '../../../agent/serve/infer-listener.ts'
import { createInferenceApi } from '../../../agent/serve/inference-api.ts'
import { type Listening, listen } from '../../../agent/serve/listen.ts'
import { buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

const HELD_BYTES_MAX = 100_000
const requestBytesMax = 1_000_000
let ledger: ByteLedger
let http: Listening
let grpc: GrpcListening
let session: ClientHttp2Session
const sockets: Socket[] = []

beforeEach(async () => {
  ledger = createByteLedger(HELD_BYTES_MAX)
  const plane = buildPlane()
  plane.put(buildLive(() => SCORES(0.75, 0.25)))
  const options = { requestBytesMax, loopbackOnly: true, ledger }
  http = await listen(createInferenceApi(plane, options), {
    tcp: { host: '127.0.0.1', port: 0 },
    socketPath: null,
    lane: createInferLane(plane, options),
    direct: createInferListener(plane, options),
    ledger,
  })
  grpc = await listenGrpc(plane, { host: '127.0.0.1', port: 0, requestBytesMax, ledger })
  session = connect(`http://127.0.0.1:${grpc.port}`)
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  session.destroy()
  await Promise.all([http.close(), grpc.close()])
})

/** Sends the head and a part of the body, and stays. */
async function begin(path: string, header: string, bytes: number): Promise<Socket> {
  const socket = connectTcp(http.port ?? 0, '127.0.0.1')
  sockets.push(socket)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(
    `POST /v2/models/tiny${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n${header}\r\n`,
  )
  socket.write(Buffer.alloc(bytes))
  return socket
}

/** A message that says 900 000 bytes and sends fewer. */
function beginCall(method: string, bytes: number) {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/inference.GRPCInferenceService/${method}`,
    'content-type': 'application/grpc',
  })
  stream.on('error', () => undefined)
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(900_000, 1)
  stream.write(Buffer.concat([prefix, Buffer.alloc(bytes)]))
  return stream
}

const holds = (least: number) =>
  vi.waitFor(() => expect(ledger.held()).toBeGreaterThanOrEqual(least))

describe('Bytes of requests that are still coming in', () => {
  it.each([
    ['plain', '/infer', ''],
    ['to an address of another form', '/infer?x', ''],
    ['with a compressed answer asked', '/infer', 'Accept-Encoding: gzip\r\n'],
  ])('count over HTTP: %s', async (_, path, header) => {
    const socket = await begin(path, header, 40_000)
    await holds(40_000)
    socket.destroy()
    await vi.waitFor(() => expect(ledger.held()).toBe(0))
  })

  it.each(['ModelInfer', 'ModelStreamInfer'])('count over gRPC: %s', async (method) => {
    const stream = beginCall(method, 40_000)
    await holds(40_000)
    stream.close(8)
    await vi.waitFor(() => expect(ledger.held()).toBe(0))
  })

  it('together have one limit: the eldest is cut, whichever door it took', async () => {
    const eldest = beginCall('ModelInfer', 40_000)
    await holds(40_000)
    await begin('/infer', 'Accept-Encoding: gzip\r\n', 40_000)
    await holds(80_000)
    const closed = once(eldest, 'close')
    await begin('/infer', '', 40_000)
    await closed
    await holds(80_000)
    expect(ledger.held()).toBeLessThanOrEqual(HELD_BYTES_MAX)
    expect(ledger.cuts()).toBe(1)
  })
})
