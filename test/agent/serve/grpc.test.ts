/** gRPC over a real HTTP/2 connection, with messages built from the published field numbers. */
import { type ClientHttp2Session, connect } from 'node:http2'
import { gzipSync } from 'node:zlib'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type GrpcListening, listenGrpc } from '../../../agent/serve/grpc-listener.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

const SERVICE = '/inference.GRPCInferenceService/'
let plane: BuiltPlane
let server: GrpcListening
let client: ClientHttp2Session

beforeEach(async () => {
  plane = buildPlane()
  plane.put(buildLive((inputs) => SCORES(0.75, Number(inputs[0]?.data[1]))))
  server = await listenGrpc(plane, { host: '127.0.0.1', port: 0, requestBytesMax: 4_096 })
  client = connect(`http://127.0.0.1:${server.port}`)
})
afterEach(async () => {
  client.close()
  await server.close()
})

interface Answered {
  readonly status: number
  readonly code: string | undefined
  readonly message: Uint8Array
}

function call(
  method: string,
  message: Uint8Array,
  headers = {},
  compressed = 0,
  times = 1,
): Promise<Answered> {
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed
  prefix.writeUInt32BE(message.length, 1)
  return new Promise((resolve, reject) => {
    const stream = client.request({
      ':method': 'POST',
      ':path': `${SERVICE}${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    })
    let found: Record<string, unknown> = {}
    const chunks: Buffer[] = []
    stream.on('response', (head) => {
      found = { ...found, ...head }
    })
    stream.on('trailers', (trailers) => {
      found = { ...found, ...trailers }
    })
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const code = found['linnet-code'] as string | undefined
      const status = Number(found['grpc-status'] ?? -1)
      resolve({ status, code, message: Buffer.concat(chunks).subarray(5) })
    })
    stream.on('error', reject)
    stream.end(Buffer.concat(Array(times).fill(Buffer.concat([prefix, message]))))
  })
}

const none = new Uint8Array()

/** `RepositoryModelLoadRequest`, with a parameter of that name. */
function change(model: string, parameter?: string): Uint8Array {
  const writer = new BinaryWriter().tag(2, 2).string(model)
  if (parameter === undefined) return writer.finish()
  return writer.tag(3, 2).fork().tag(1, 2).string(parameter).join().finish()
}

/** An input that lies in a region. */
function sharedMemoryRequest(): Uint8Array {
  const writer = new BinaryWriter().tag(1, 2).string('tiny').tag(5, 2).fork()
  writer.tag(1, 2).string('x').tag(2, 2).string('FP32').tag(3, 2).fork().int64(1).int64(2).join()
  writer.tag(4, 2).fork().tag(1, 2).string('shared_memory_region')
  return writer.tag(2, 2).fork().tag(3, 2).string('a').join().join().join().finish()
}

const named = (name: string, version = '') =>
  new BinaryWriter().tag(1, 2).string(name).tag(2, 2).string(version).finish()

/** `ModelInferRequest` for one tensor x [1, 2]. */
function inferRequest(values: readonly number[], how: 'raw' | 'contents', id = ''): Uint8Array {
  const writer = new BinaryWriter().tag(1, 2).string('tiny').tag(3, 2).string(id)
  writer.tag(5, WireType.LengthDelimited).fork()
  writer.tag(1, 2).string('x').tag(2, 2).string('FP32')
  writer.tag(3, 2).fork().int64(1).int64(values.length).join()
  if (how === 'contents') {
    writer.tag(5, 2).fork().tag(6, 2).fork()
    for (const value of values) writer.float(value)
    writer.join().join()
  }
  writer.join()
  if (how === 'raw') writer.tag(7, 2).bytes(new Uint8Array(Float32Array.from(values).buffer))
  return writer.finish()
}

/** With `sequence_id` and one more parameter: a flag, or an integer for `priority`. */
function sequenceRequest(id: number, name: string, value: number): Uint8Array {
  const parameter = (key: string, field: number, given: number): Uint8Array => {
    const entry = new BinaryWriter().tag(1, 2).string(key)
    return entry.tag(2, 2).fork().tag(field, 0).int64(given).join().finish()
  }
  const extra = parameter(name, name === 'priority' ? 5 : 1, value)
  const writer = new BinaryWriter().tag(4, 2).bytes(parameter('sequence_id', 2, id))
  const head = writer.tag(4, 2).bytes(extra).finish()
  return Buffer.concat([inferRequest([1, 0.25], 'raw'), head])
}

/** Length-delimited fields by number. */
function fieldsOf(message: Uint8Array): Map<number, Uint8Array[]> {
  const reader = new BinaryReader(message)
  const fields = new Map<number, Uint8Array[]>()
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (wire !== WireType.LengthDelimited) reader.skip(wire, field)
    else fields.set(field, [...(fields.get(field) ?? []), reader.bytes()])
  }
  return fields
}
const textOf = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString()

describe('GRPCInferenceService', () => {
  it('tells health, and false as the absent field', async () => {
    expect(await call('ServerLive', none)).toMatchObject({ status: 0, message: Buffer.of(8, 1) })
    expect((await call('ServerReady', none)).message).toHaveLength(2)
    expect((await call('ModelReady', named('tiny'))).message).toHaveLength(2)
    expect((await call('ModelReady', named('tiny', '3.0.0'))).message).toHaveLength(0)
  })

  it('describes server, model and repository', async () => {
    const server = fieldsOf((await call('ServerMetadata', new Uint8Array())).message)
    expect(textOf(server.get(1)?.[0])).toBe('linnet')
    const model = fieldsOf((await call('ModelMetadata', named('tiny'))).message)
    expect(textOf(model.get(3)?.[0])).toBe('onnxruntime_onnx')
    const input = fieldsOf(model.get(4)![0]!)
    expect([textOf(input.get(1)?.[0]), textOf(input.get(2)?.[0])]).toEqual(['x', 'FP32'])
    const [index] = fieldsOf((await call('RepositoryIndex', new Uint8Array())).message).get(1) ?? []
    expect(textOf(fieldsOf(index!).get(3)?.[0])).toBe('READY')
    expect((await call('ModelMetadata', named('other'))).status).toBe(5)
  })

  it.each(['raw', 'contents'] as const)('answers inference with %s inputs', async (how) => {
    const { status, message } = await call('ModelInfer', inferRequest([1, 0.25], how, 'r-1'))
    expect(status).toBe(0)
    const fields = fieldsOf(message)
    expect([1, 2, 3].map((field) => textOf(fields.get(field)?.[0]))).toEqual([
      'tiny',
      '1.0.0',
      'r-1',
    ])
    const raw = Buffer.from(fields.get(6)![0]!)
    expect([raw.readFloatLE(0), raw.readFloatLE(4)]).toEqual([0.75, 0.25])
  })

  it('keeps the release of a stream, by the parameters of Triton', async () => {
    const ask = async (part: 'sequence_start' | 'sequence_end' | 'priority', flag: number) => {
      const { status, code, message } = await call('ModelInfer', sequenceRequest(42, part, flag))
      return status === 0 ? textOf(fieldsOf(message).get(2)?.[0]) : `${status} ${code}`
    }
    expect(await ask('priority', 1)).toBe('3 stream.unknown')
    expect(await ask('sequence_start', 1)).toBe('1.0.0')
    plane.put(
      buildLive(() => SCORES(1, 0), { version: '1.1.0' }),
      { generation: 2 },
    )
    expect(await ask('priority', 1)).toBe('1.0.0')
    expect(await ask('sequence_end', 1)).toBe('1.0.0')
    expect(await ask('sequence_start', 1)).toBe('1.1.0')
    plane.swap(new Map())
    plane.put(
      buildLive(() => SCORES(1, 0)),
      { generation: 3 },
    )
    expect(await ask('priority', 1)).toBe('9 stream.version_gone')
  })

  it.each<[string, () => Promise<Answered>, number, string]>([
    ['a shape', () => call('ModelInfer', inferRequest([1, 2, 3], 'raw')), 3, 'infer.invalid_input'],
    ['what is no message', () => call('ModelInfer', Buffer.of(0x2a, 99)), 3, 'request.malformed'],
    ['a method', () => call('ModelTrain', named('x')), 12, 'request.unknown_route'],
    ['two messages', () => call('ServerLive', none, {}, 0, 2), 3, 'request.malformed'],
    ['no message', () => call('ServerLive', none, {}, 0, 0), 3, 'request.malformed'],
    [
      'broken gzip',
      () => call('ServerLive', named('x'), { 'grpc-encoding': 'gzip' }, 1),
      3,
      'request.malformed',
    ],
    [
      'what inflates too far',
      () => call('ModelInfer', gzipSync(Buffer.alloc(1 << 20)), { 'grpc-encoding': 'gzip' }, 1),
      8,
      'request.too_large',
    ],
    ['shared memory', () => call('ModelInfer', sharedMemoryRequest()), 3, 'request.unsupported'],
    ['a load', () => call('RepositoryModelLoad', change('tiny')), 7, 'repository.refused'],
    ['what every object has', () => call('constructor', named('x')), 12, 'request.unknown_route'],
    ['compression', () => call('ServerLive', named('x'), {}, 1), 12, 'request.encoding'],
    ['too much', () => call('ModelInfer', new Uint8Array(9_000)), 8, 'request.too_large'],
  ])('refuses %s with a status and our code', async (_, asked, status, code) => {
    expect(await asked()).toMatchObject({ status, code })
    expect((await call('ServerLive', new Uint8Array())).status).toBe(0)
  })

  it('says RESOURCE_EXHAUSTED over the rate that a release allows', async () => {
    const disclosure = { requestsPerMinuteMax: 1, requestsBurstMax: 1 }
    plane.put(buildLive(() => SCORES(0.75, 0.25), { manifest: { disclosure } }))
    expect((await call('ModelInfer', inferRequest([1, 2], 'raw'))).status).toBe(0)
    expect(await call('ModelInfer', inferRequest([1, 2], 'raw'))).toMatchObject({
      ...{ status: 8, code: 'infer.rate_limited' },
    })
  })

  it('keeps the deadline of the call', async () => {
    const slow = buildLive(() => new Promise<never>((_, no) => setTimeout(no, 60, new Error('x'))))
    plane.put(slow)
    const first = call('ModelInfer', inferRequest([1, 2], 'raw'))
    const late = await call('ModelInfer', inferRequest([1, 2], 'raw'), { 'grpc-timeout': '5m' })
    expect(late.status).toBe(4)
    expect((await first).status).toBe(13)
  })
})
