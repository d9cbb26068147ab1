/**
 * `GRPCInferenceService` as Triton's gRPC clients use it: streams, configuration, statistics, the
 * repository, health. Messages are built from the published field numbers.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { gzipSync } from 'node:zlib'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type GrpcListening, listenGrpc } from '../../../agent/serve/grpc-listener.ts'
import type { RepositoryCommand } from '../../../agent/serve/model-repository.ts'
import { ok } from '../../../shared/kernel/result.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

const SERVICE = '/inference.GRPCInferenceService/'
let plane: BuiltPlane
let server: GrpcListening
let client: ClientHttp2Session
let commands: RepositoryCommand[]

beforeEach(async () => {
  commands = []
  plane = buildPlane()
  plane.put(buildLive((inputs) => SCORES(0.25, Number(inputs[0]?.data[1]))))
  const change = async (command: RepositoryCommand) => {
    commands.push(command)
    return ok()
  }
  const entries = () => [
    { name: 'bad', version: '3', state: 'UNAVAILABLE' as const, reason: 'broken' },
  ]
  server = await listenGrpc(plane, {
    ...{ host: '127.0.0.1', port: 0, requestBytesMax: 4_096 },
    repository: { entries, change },
  })
  client = connect(`http://127.0.0.1:${server.port}`)
})
afterEach(async () => {
  client.close()
  await server.close()
})

function frame(message: Uint8Array, compressed = 0): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

interface Call {
  readonly stream: ClientHttp2Stream
  /** All messages, once the call is over. */
  readonly done: Promise<{ status: number; messages: Buffer[] }>
}

function open(path: string, headers = {}): Call {
  const stream = client.request({
    ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
    ...headers,
  })
  let status = -1
  const note = (head: Record<string, unknown>): void => {
    if (head['grpc-status'] !== undefined) status = Number(head['grpc-status'])
  }
  const chunks: Buffer[] = []
  stream.on('response', note)
  stream.on('trailers', note)
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  const done = new Promise<{ status: number; messages: Buffer[] }>((resolve, reject) => {
    stream.on('error', reject)
    stream.on('end', () => resolve({ status, messages: split(Buffer.concat(chunks)) }))
  })
  return { stream, done }
}

async function call(method: string, message: Uint8Array = new Uint8Array(), headers = {}) {
  const { stream, done } = open(method.startsWith('/') ? method : `${SERVICE}${method}`, headers)
  stream.end(frame(message))
  const { status, messages } = await done
  return { status, message: messages[0] ?? Buffer.alloc(0) }
}

function split(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 1)
    messages.push(bytes.subarray(at + 5, at + 5 + length))
    at += 5 + length
  }
  return messages
}

type Value = Buffer | number

/** Field number -> values in order; nested messages and strings as bytes. */
function fieldsOf(message: Uint8Array): Record<number, Value[]> {
  const reader = new BinaryReader(message)
  const fields: Record<number, Value[]> = {}
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    const value = wire === WireType.Varint ? Number(reader.uint64()) : Buffer.from(reader.bytes())
    fields[field] = [...(fields[field] ?? []), value]
  }
  return fields
}
const nested = (value: Value | undefined) => fieldsOf(value as Buffer)
const text = (value: Value | undefined): string => String(value ?? '')

/** Parameters of all kinds, and one requested output, as `_get_inference_request` makes them. */
function inferRequest(id: string, values: readonly number[], classes = 0): Uint8Array {
  const writer = new BinaryWriter().tag(1, 2).string('tiny').tag(2, 2).string('1')
  writer.tag(3, 2).string(id)
  const parameter = (name: string, write: (value: BinaryWriter) => void): void => {
    writer.tag(4, 2).fork().tag(1, 2).string(name).tag(2, 2).fork()
    write(writer)
    writer.join().join()
  }
  parameter('timeout', (value) => value.tag(2, 0).int64(2_000_000))
  parameter('triton_enable_empty_final_response', (value) => value.tag(1, 0).bool(true))
  writer.tag(5, 2).fork().tag(1, 2).string('x').tag(2, 2).string('FP32')
  writer.tag(3, 2).fork().int64(1).int64(values.length).join().join()
  if (classes > 0) {
    writer.tag(6, 2).fork().tag(1, 2).string('scores')
    writer.tag(2, 2).fork().tag(1, 2).string('classification')
    writer.tag(2, 2).fork().tag(2, 0).int64(classes).join().join().join()
  }
  return writer
    .tag(7, 2)
    .bytes(new Uint8Array(Float32Array.from(values).buffer))
    .finish()
}

describe('ModelStreamInfer', () => {
  it('answers each message in order, a wrong one with its error, and goes on', async () => {
    const { stream, done } = open(`${SERVICE}ModelStreamInfer`)
    const all = Buffer.concat([
      frame(inferRequest('a', [1, 0.5])),
      frame(inferRequest('b', [1, 2, 3])),
      frame(inferRequest('c', [1, 0.75])),
    ])
    // Whatever the cuts of the transport.
    stream.write(all.subarray(0, 3))
    stream.write(all.subarray(3, 120))
    stream.end(all.subarray(120))
    const { status, messages } = await done
    expect(status).toBe(0)
    expect(messages).toHaveLength(3)
    const [first, second, third] = messages.map(fieldsOf)
    expect(first?.[1]).toBeUndefined()
    expect(text(nested(first?.[2]?.[0])[3]?.[0])).toBe('a')
    expect(text(second?.[1]?.[0])).toContain('expected FP32 [n,2]; found FP32 [1,3]')
    const refused = nested(second?.[2]?.[0])
    expect([text(refused[1]?.[0]), text(refused[3]?.[0])]).toEqual(['tiny', 'b'])
    const answer = nested(third?.[2]?.[0])
    expect(Buffer.from(answer[6]?.[0] as Buffer).readFloatLE(4)).toBe(0.75)
    const last = (answer[4] ?? []).map((entry) => text(nested(entry)[1]?.[0]))
    expect(last).toContain('triton_final_response')
  })

  it('answers many more messages than are computed at a time', async () => {
    const { stream, done } = open(`${SERVICE}ModelStreamInfer`)
    const ids = Array.from({ length: 200 }, (_, i) => `r${i}`)
    for (const id of ids) stream.write(frame(inferRequest(id, [1, 0.5])))
    stream.end()
    const { messages } = await done
    expect(messages.map((m) => text(nested(fieldsOf(m)[2]?.[0])[3]?.[0]))).toEqual(ids)
  })

  it('ends with a status where the stream itself is broken', async () => {
    const { stream, done } = open(`${SERVICE}ModelStreamInfer`)
    stream.write(frame(inferRequest('a', [1, 0.5])))
    stream.end(Buffer.of(0, 0xff, 0xff, 0xff, 0xff))
    const { status, messages } = await done
    expect([status, messages.length]).toEqual([8, 1])
  })
})

describe('ModelInfer', () => {
  it('reads gzip, and tells classes', async () => {
    const { stream, done } = open(`${SERVICE}ModelInfer`, { 'grpc-encoding': 'gzip' })
    stream.end(frame(gzipSync(inferRequest('z', [1, 0.75], 1)), 1))
    const { status, messages } = await done
    expect(status).toBe(0)
    const answer = fieldsOf(messages[0]!)
    const output = nested(answer[5]?.[0])
    expect(text(output[2]?.[0])).toBe('BYTES')
    expect(
      Buffer.from(answer[6]?.[0] as Buffer)
        .subarray(4)
        .toString(),
    ).toBe('0.750000:1:high')
  })

  it('is not run for a client that reset its stream', async () => {
    let runs = 0
    const counted = buildLive(() => {
      runs += 1
      return SCORES(0, 1)
    })
    plane.put(counted)
    const calls = Array.from({ length: 6 }, () => {
      const { stream, done } = open(`${SERVICE}ModelInfer`)
      done.catch(() => undefined)
      stream.end(frame(inferRequest('x', [1, 0.5])))
      stream.on('error', () => undefined)
      return stream
    })
    for (const stream of calls) stream.close(8)
    expect((await call('ModelInfer', inferRequest('last', [1, 0.5]))).status).toBe(0)
    expect(runs).toBeLessThan(7)
  })
})

describe('What clients ask beside inference', () => {
  const named = (name: string, version = '') =>
    new BinaryWriter().tag(1, 2).string(name).tag(2, 2).string(version).finish()

  it('the configuration, in the fields of ModelConfig', async () => {
    const { message } = await call('ModelConfig', named('tiny', '1'))
    const config = nested(fieldsOf(message)[1]?.[0])
    expect([1, 2, 17].map((field) => text(config[field]?.[0]))).toEqual([
      ...['tiny', 'onnxruntime_onnx', 'onnxruntime'],
    ])
    expect(config[4]).toEqual([64])
    const input = nested(config[5]?.[0])
    expect([text(input[1]?.[0]), input[2]?.[0], input[4]?.[0]]).toEqual(['x', 11, Buffer.of(2)])
    const output = nested(config[6]?.[0])
    expect([text(output[1]?.[0]), output[3]?.[0]]).toEqual(['scores', Buffer.of(2)])
    expect((await call('ModelConfig', named('none'))).status).toBe(5)
  })

  it('statistics, in the fields of ModelStatistics', async () => {
    await call('ModelInfer', inferRequest('a', [1, 0.5]))
    const { message } = await call('ModelStatistics', named('tiny'))
    const row = nested(fieldsOf(message)[1]?.[0])
    expect([text(row[1]?.[0]), text(row[2]?.[0])]).toEqual(['tiny', '1.0.0'])
    expect([row[4], row[5]]).toEqual([[1], [1]])
    const success = nested(nested(row[6]?.[0])[1]?.[0])
    expect(success[1]).toEqual([1])
    expect(Number(success[2]?.[0])).toBeGreaterThan(0)
    const batch = nested(row[7]?.[0])
    expect(batch[1]).toEqual([1])
    expect(nested(batch[3]?.[0])[1]).toEqual([1])
    expect((await call('ModelStatistics', named('none'))).status).toBe(5)
    expect((await call('ModelStatistics')).message).not.toHaveLength(0)
  })

  it('the repository: its index, loads and unloads', async () => {
    const states = async (message?: Uint8Array) =>
      (fieldsOf((await call('RepositoryIndex', message)).message)[1] ?? []).map((model) =>
        [1, 2, 3, 4].map((field) => text(nested(model)[field]?.[0])).join(' '),
      )
    const ready = 'tiny 1.0.0 READY slot current'
    expect(await states()).toEqual([ready, 'bad 3 UNAVAILABLE broken'])
    expect(await states(new BinaryWriter().tag(2, 0).bool(true).finish())).toEqual([ready])
    const model = new BinaryWriter().tag(2, 2).string('tiny')
    const load = model.finish()
    expect((await call('RepositoryModelLoad', load, { authorization: 'Bearer t' })).status).toBe(0)
    const unload = new BinaryWriter().raw(load).tag(3, 2).fork()
    unload.tag(1, 2).string('unload_dependents').join()
    expect((await call('RepositoryModelUnload', unload.finish())).status).toBe(0)
    expect(commands).toEqual([
      { action: 'load', model: 'tiny', token: 't' },
      { action: 'unload', model: 'tiny', token: undefined },
    ])
    const config = new BinaryWriter().raw(load).tag(3, 2).fork().tag(1, 2).string('config').join()
    expect((await call('RepositoryModelLoad', config.finish())).status).toBe(3)
  })

  it('shared memory, of which there is none, as over HTTP', async () => {
    for (const kind of ['System', 'Cuda']) {
      const status = await call(`${kind}SharedMemoryStatus`)
      expect([status.status, status.message.length]).toEqual([0, 0])
      expect((await call(`${kind}SharedMemoryUnregister`)).status).toBe(0)
      expect((await call(`${kind}SharedMemoryRegister`, named('region'))).status).toBe(3)
    }
    expect((await call('TraceSetting')).status).toBe(12)
  })

  it('to wait for a model that a plan brings, as over HTTP', async () => {
    plane.expect(['tiny', 'faces'])
    for (const method of ['ModelMetadata', 'ModelConfig', 'ModelStatistics', 'ModelInfer']) {
      expect([method, (await call(method, named('faces'))).status]).toEqual([method, 14])
      expect([method, (await call(method, named('other'))).status]).toEqual([method, 5])
    }
    const ready = await call('ModelReady', named('faces'))
    expect([ready.status, ready.message.length]).toEqual([0, 0])
  })

  it('health, by the standard service', async () => {
    const check = (service: string) =>
      call('/grpc.health.v1.Health/Check', new BinaryWriter().tag(1, 2).string(service).finish())
    expect((await check('')).message).toEqual(Buffer.of(8, 1))
    expect((await check('inference.GRPCInferenceService')).message).toEqual(Buffer.of(8, 1))
    expect((await check('other')).status).toBe(5)
    plane.expect(['faces'])
    expect((await check('')).message).toEqual(Buffer.of(8, 2))
    expect((await call('/grpc.health.v1.Health/Watch')).status).toBe(12)
  })
})
