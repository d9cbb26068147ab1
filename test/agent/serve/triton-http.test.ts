/**
 * The local API as Triton's HTTP clients use it: request bytes as they send them, over real sockets.
 * The releases compute in JavaScript.
 */
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createInferLane } from '../../../agent/serve/infer-lane.ts'
import { createInferListener } from '../../../agent/serve/infer-listener.ts'
import { createInferenceApi } from '../../../agent/serve/inference-api.ts'
import { type Listening, listen } from '../../../agent/serve/listen.ts'
import type { ModelRepository, RepositoryCommand } from '../../../agent/serve/model-repository.ts'
import { ok, refuse } from '../../../shared/kernel/result.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

let plane: BuiltPlane
let listening: Listening
let base: string
let commands: RepositoryCommand[]

const repository: ModelRepository = {
  entries: () => [
    { name: 'tiny', version: '1', state: 'LOADING', reason: '' },
    { name: 'bad', version: '3', state: 'UNAVAILABLE', reason: 'This is not an ONNX file.' },
  ],
  change: async (command) => {
    commands.push(command)
    return command.model === 'tiny' ? ok() : refuse('repository.unknown_model', 'None such.')
  },
}

beforeEach(async () => {
  commands = []
  plane = buildPlane()
  plane.put(buildLive((inputs) => SCORES(0.25, Number(inputs[0]?.data[1]))))
  const limits = { requestBytesMax: 4_096, loopbackOnly: true, repository }
  listening = await listen(createInferenceApi(plane, limits), {
    tcp: { host: '127.0.0.1', port: 0 },
    socketPath: null,
    lane: createInferLane(plane, limits),
    direct: createInferListener(plane, limits),
  })
  base = `http://127.0.0.1:${listening.port}/v2`
})
afterEach(() => listening.close())

/** A header of JSON and the tensor behind it, as `generate_request_body` makes them. */
function binaryBody(outputs?: object[]): { head: number; body: Buffer } {
  const parameters = { binary_data_size: 8 }
  const request = {
    id: 'r-1',
    inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', parameters }],
    ...(outputs === undefined ? { parameters: { binary_data_output: true } } : { outputs }),
  }
  const head = Buffer.from(JSON.stringify(request))
  return { head: head.length, body: Buffer.concat([head, floats(1, 0.75)]) }
}
const floats = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer)

interface Answered {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/** Unlike fetch it sends no Accept-Encoding of its own and leaves answers as they come. */
function post(path: string, body: Buffer, headers: Record<string, string> = {}): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(`${base}${path}`, { method: 'POST', headers }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          body: Buffer.concat(chunks),
        }),
      )
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

describe('Compression', () => {
  const CODECS = {
    gzip: { pack: gzipSync, unpack: gunzipSync },
    deflate: { pack: deflateSync, unpack: inflateSync },
  }

  it.each(['gzip', 'deflate'] as const)('of requests and answers with %s', async (encoding) => {
    const { head, body } = binaryBody()
    const { pack, unpack } = CODECS[encoding]
    const answer = await post('/models/tiny/versions/1/infer', pack(body), {
      'content-encoding': encoding,
      'accept-encoding': encoding,
      'inference-header-content-length': String(head),
    })
    expect(answer.status).toBe(200)
    expect(answer.headers['content-encoding']).toBe(encoding)
    const plain = unpack(answer.body)
    // The header's length is that of the bytes that come out.
    const at = Number(answer.headers['inference-header-content-length'])
    expect(JSON.parse(plain.subarray(0, at).toString())).toMatchObject({
      id: 'r-1',
      outputs: [{ name: 'scores', parameters: { binary_data_size: 8 } }],
    })
    expect(plain.subarray(at)).toEqual(floats(0.25, 0.75))
  })

  it('is left out for who accepts many encodings', async () => {
    const { head, body } = binaryBody()
    const answer = await post('/models/tiny/infer', body, {
      'accept-encoding': 'gzip, deflate, br',
      'inference-header-content-length': String(head),
    })
    expect(answer.headers['content-encoding']).toBeUndefined()
  })

  it('is bounded by what comes out, and refused where it is broken', async () => {
    const bomb = await post('/models/tiny/infer', gzipSync(Buffer.alloc(1 << 20)), {
      'content-encoding': 'gzip',
    })
    expect([bomb.status, bomb.headers['linnet-code']]).toEqual([413, 'request.too_large'])
    const broken = await post('/models/tiny/infer', Buffer.from('no gzip at all'), {
      'content-encoding': 'gzip',
    })
    expect([broken.status, broken.headers['linnet-code']]).toEqual([400, 'request.malformed'])
    const other = await post('/models/tiny/infer', Buffer.from('{}'), { 'content-encoding': 'br' })
    expect(other.status).toBe(415)
  })
})

describe('Classification', () => {
  const classes = async (output: object, of = binaryBody([output])) =>
    post('/models/tiny/infer', of.body, { 'inference-header-content-length': String(of.head) })

  it('tells the best classes by score, index and name', async () => {
    const parameters = { binary_data: false, classification: 2 }
    const answer = await classes({ name: 'scores', parameters })
    expect(JSON.parse(answer.body.toString()).outputs).toEqual([
      {
        name: 'scores',
        datatype: 'BYTES',
        shape: [1, 2],
        data: ['0.750000:1:high', '0.250000:0:low'],
      },
    ])
  })

  it('as binary strings too, and no more than there are', async () => {
    const answer = await classes({
      name: 'scores',
      parameters: { binary_data: true, classification: 9 },
    })
    const at = Number(answer.headers['inference-header-content-length'])
    const bytes = answer.body.subarray(at)
    expect(bytes.readUInt32LE(0)).toBe(15)
    expect(bytes.subarray(4, 19).toString()).toBe('0.750000:1:high')
    expect(bytes.length).toBe(4 + 15 + 4 + 14)
  })

  it('of a model without a batch axis is one list', async () => {
    const fixed: TensorSpec = { name: 'scores', datatype: 'FP32', shape: [1, 2] }
    plane.put(buildLive(() => SCORES(0.5, 0.5), { outputs: [fixed] }))
    const answer = await classes({ name: 'scores', parameters: { classification: 1 } })
    expect(JSON.parse(answer.body.toString()).outputs[0]).toMatchObject({
      shape: [1],
      data: ['0.500000:0:low'],
    })
  })
})

describe('What clients ask beside inference', () => {
  const get = async (path: string) => {
    const answer = await fetch(`${base}${path}`)
    return { status: answer.status, body: (await answer.json()) as unknown }
  }

  it('a configuration, with the batch axis left out of the shapes', async () => {
    const { body } = await get('/models/tiny/config')
    expect(body).toMatchObject({
      name: 'tiny',
      platform: 'onnxruntime_onnx',
      backend: 'onnxruntime',
      max_batch_size: 64,
      input: [{ name: 'x', data_type: 'TYPE_FP32', dims: [2], format: 'FORMAT_NONE' }],
      output: [{ name: 'scores', data_type: 'TYPE_FP32', dims: [2] }],
      model_transaction_policy: { decoupled: false },
    })
    expect((await get('/models/tiny/versions/1/config')).body).toEqual(body)
    expect((await get('/models/none/config')).status).toBe(404)
  })

  it('statistics of all parts, also before the first request', async () => {
    const { body } = await get('/models/tiny/versions/1/stats')
    const none = { count: 0, ns: 0 }
    expect(body).toMatchObject({
      model_stats: [
        {
          ...{ name: 'tiny', version: '1.0.0', last_inference: 0, inference_count: 0 },
          inference_stats: { success: none, cache_hit: none, cache_miss: none, queue: none },
          batch_stats: [],
        },
      ],
    })
    expect((await get('/models/stats')).body).toEqual(body)
  })

  it('the repository: what serves, then the rest with its state and reason', async () => {
    const index = async (body?: string) =>
      JSON.parse((await post('/repository/index', Buffer.from(body ?? ''))).body.toString())
    const ready = { name: 'tiny', version: '1.0.0', state: 'READY', reason: 'slot current' }
    const bad = { name: 'bad', version: '3', state: 'UNAVAILABLE' }
    expect(await index()).toEqual([ready, { ...bad, reason: 'This is not an ONNX file.' }])
    expect(await index('{"ready": true}')).toEqual([ready])
  })

  it('loads and unloads, with the token that they carry', async () => {
    const authorization = 'Bearer abc.DEF-1'
    const load = await post('/repository/models/tiny/load', Buffer.from('{}'), { authorization })
    expect(load.status).toBe(200)
    const unload = '{"parameters": {"unload_dependents": false}}'
    expect((await post('/repository/models/tiny/unload', Buffer.from(unload))).status).toBe(200)
    expect((await post('/repository/models/none/load', Buffer.from(''))).status).toBe(404)
    expect(commands).toEqual([
      { action: 'load', model: 'tiny', token: 'abc.DEF-1' },
      { action: 'unload', model: 'tiny', token: undefined },
      { action: 'load', model: 'none', token: undefined },
    ])
    const files = '{"parameters": {"file:1/model.onnx": "AAAA"}}'
    const withFiles = await post('/repository/models/tiny/load', Buffer.from(files))
    expect([withFiles.status, withFiles.headers['linnet-code']]).toEqual([
      400,
      'request.unsupported',
    ])
  })

  it('shared memory, of which there is none, and settings, which do not exist', async () => {
    expect((await get('/systemsharedmemory/status')).body).toEqual([])
    expect((await post('/cudasharedmemory/unregister', Buffer.from(''))).status).toBe(200)
    const register = await post('/systemsharedmemory/region/a/register', Buffer.from('{}'))
    expect(register.status).toBe(400)
    expect(JSON.parse(register.body.toString())).toEqual({
      error: expect.stringContaining('Shared memory is not supported'),
    })
    const input = { name: 'x', shape: [1, 2], datatype: 'FP32' }
    const parameters = { shared_memory_region: 'a', shared_memory_byte_size: 8 }
    const body = Buffer.from(JSON.stringify({ inputs: [{ ...input, parameters }] }))
    expect((await post('/models/tiny/infer', body)).headers['linnet-code']).toBe(
      'request.unsupported',
    )
    for (const path of ['/trace/setting', '/models/tiny/trace/setting', '/logging']) {
      expect(await get(path)).toMatchObject({ status: 404, body: { error: expect.any(String) } })
    }
  })
})

describe('HTTP/1.1 as clients of every kind write it', () => {
  /** Writes and collects until `answers` answers came. */
  function raw(parts: readonly string[], answers: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(listening.port ?? 0, '127.0.0.1')
      let seen = ''
      socket.on('error', reject)
      socket.on('data', (chunk) => {
        seen += chunk.toString()
        if (seen.split('"outputs"').length - 1 < answers) return
        socket.destroy()
        resolve(seen)
      })
      for (const part of parts) socket.write(part)
    })
  }
  const body = JSON.stringify({
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 0.5] }],
  })
  const head = (...headers: string[]): string =>
    ['POST /v2/models/tiny/infer HTTP/1.1', 'Host: localhost', ...headers, '', ''].join('\r\n')

  it('pipelined: answered in order on one connection', async () => {
    const one = (id: string): string => {
      const text = body.replace('{', `{"id":"${id}",`)
      return head(`Content-Length: ${text.length}`) + text
    }
    const seen = await raw([['a', 'b', 'c'].map(one).join('')], 3)
    expect([...seen.matchAll(/"id":"(\w)"/g)].map((match) => match[1])).toEqual(['a', 'b', 'c'])
  })

  it('in chunks', async () => {
    const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
    const chunks = [body.slice(0, 7), body.slice(7), ''].map(chunk)
    expect(await raw([head('Transfer-Encoding: chunked'), ...chunks], 1)).toContain('200 OK')
  })

  it('after asking whether to go on', async () => {
    const parts = [head(`Content-Length: ${body.length}`, 'Expect: 100-continue'), body]
    expect(await raw(parts, 1)).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
  })
})
