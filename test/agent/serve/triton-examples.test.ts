/**
 * What Triton's published client examples look for in answers, one row for each of their assertions
 * (triton-inference-server/client, src/python/examples). Messages of gRPC are built from the published
 * field numbers; the releases compute in JavaScript.
 */
import { type ClientHttp2Session, connect } from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type GrpcListening, listenGrpc } from '../../../agent/serve/grpc-listener.ts'
import { createInferenceApi, type InferenceApi } from '../../../agent/serve/inference-api.ts'
import { noSuchModel, type RepositoryCommand } from '../../../agent/serve/model-repository.ts'
import { ok } from '../../../shared/kernel/result.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'
import { delimited, joined, valueAt, varint } from '../../fixtures/wire-bytes.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

let plane: BuiltPlane
let api: InferenceApi
let server: GrpcListening
let client: ClientHttp2Session
const commands: RepositoryCommand[] = []

beforeAll(async () => {
  plane = buildPlane()
  plane.put(buildLive(() => SCORES(0.25, 0.75)))
  const change = async (command: RepositoryCommand) => {
    commands.push(command)
    return command.model === 'tiny' ? ok() : noSuchModel(command)
  }
  const repository = { entries: () => [], change }
  const limits = { requestBytesMax: 65_536, loopbackOnly: true, repository, serverName: 'triton' }
  api = createInferenceApi(plane, limits)
  server = await listenGrpc(plane, { host: '127.0.0.1', port: 0, ...limits })
  client = connect(`http://127.0.0.1:${server.port}`)
})
afterAll(async () => {
  client.close()
  await server.close()
})

/** What `InferenceServerException.message()` says of a refused HTTP request, after the status. */
async function httpError(path: string, body?: object): Promise<string> {
  const request = body && { method: 'POST', body: JSON.stringify(body) }
  const answer = await api(new Request(`http://localhost:8000/v2/${path}`, request))
  const { error = '' } = (await answer.json()) as { error?: string }
  return `${answer.status} ${error}`
}

interface Called {
  readonly status: string
  readonly details: string
  readonly message: Uint8Array
}

function call(method: string, message: Uint8Array): Promise<Called> {
  const stream = client.request({
    ...{ ':method': 'POST', ':path': `/inference.GRPCInferenceService/${method}` },
    ...{ 'content-type': 'application/grpc', te: 'trailers' },
  })
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return new Promise((resolve, reject) => {
    let found: Record<string, string> = {}
    const chunks: Buffer[] = []
    const keep = (fields: object) => {
      found = { ...found, ...fields }
    }
    stream.on('response', keep).on('trailers', keep).on('error', reject)
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const { 'grpc-status': status = '', 'grpc-message': details = '' } = found
      const message = Buffer.concat(chunks).subarray(5)
      resolve({ status, details: decodeURIComponent(details), message })
    })
    stream.end(Buffer.concat([prefix, message]))
  })
}

/** What it says of a refused call: the status and its details. */
async function grpcError(method: string, message: Uint8Array): Promise<string> {
  const { status, details } = await call(method, message)
  return `${status} ${details}`
}

const named = (name: string, version = '') => joined(delimited(1, name), delimited(2, version))
const INPUTS = [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 0] }]

describe('The name of the server (simple_*_health_metadata)', () => {
  it('is what its operator calls it, over both', async () => {
    const { name } = (await (await api(new Request('http://localhost:8000/v2'))).json()) as {
      name: string
    }
    const { message } = await call('ServerMetadata', new Uint8Array())
    expect([name, Buffer.from(valueAt(message, 1) as Uint8Array).toString()]).toEqual([
      ...['triton', 'triton'],
    ])
  })
})

describe('A wrong name', () => {
  const wanted = /^(404|5) Request for unknown model: 'wrong_model_name' is not found/

  it.each<[string, () => Promise<string>]>([
    ['infer', () => httpError('models/wrong_model_name/infer', { inputs: INPUTS })],
    ['metadata', () => httpError('models/wrong_model_name')],
    ['configuration', () => httpError('models/wrong_model_name/config')],
    ['statistics', () => httpError('models/wrong_model_name/stats')],
    ['gRPC infer', () => grpcError('ModelInfer', named('wrong_model_name'))],
    ['gRPC metadata', () => grpcError('ModelMetadata', named('wrong_model_name'))],
    ['gRPC configuration', () => grpcError('ModelConfig', named('wrong_model_name'))],
    ['gRPC statistics', () => grpcError('ModelStatistics', named('wrong_model_name'))],
  ])('begins as the examples want it: %s', async (_, asked) => {
    expect(await asked()).toMatch(wanted)
  })

  it('of a version is told with the versions that there are', async () => {
    const wanted = "Request for unknown model: 'tiny' version 9 is not found; expected 1.0.0"
    const path = 'models/tiny/versions/9'
    expect(await httpError(path)).toContain(`404 ${wanted}`)
    expect(await httpError(`${path}/infer`, { inputs: INPUTS })).toContain(`404 ${wanted}`)
    expect(await grpcError('ModelMetadata', named('tiny', '9'))).toContain(`5 ${wanted}`)
  })

  it('that is no version is told as one (grpc_explicit_int8_content_client)', async () => {
    const wanted = "failed to get model version from specified version string 'wrong_specification'"
    const path = 'models/tiny/versions/wrong_specification'
    expect(await httpError(`${path}/infer`, { inputs: INPUTS })).toContain(`404 ${wanted}`)
    expect(await grpcError('ModelConfig', named('tiny', 'wrong_specification'))).toContain(
      `5 ${wanted}`,
    )
  })
})

describe('Model control (simple_*_model_control)', () => {
  /** `RepositoryModelLoadRequest` with its parameters as texts. */
  const loading = (name: string, parameters: Readonly<Record<string, string>>) => {
    const entries = Object.entries(parameters).map(([key, text]) =>
      delimited(3, joined(delimited(1, key), delimited(2, delimited(3, text)))),
    )
    return joined(delimited(2, name), ...entries)
  }
  const DOORS = {
    HTTP: (name: string, parameters: Readonly<Record<string, string>> = {}) =>
      httpError(`repository/models/${name}/load`, { parameters }),
    gRPC: (name: string, parameters: Readonly<Record<string, string>> = {}) =>
      grpcError('RepositoryModelLoad', loading(name, parameters)),
  }

  it.each(['HTTP', 'gRPC'] as const)('says what failed to load, over %s', async (door) => {
    const load = DOORS[door]
    expect(await load('wrong_model_name')).toMatch(
      /^(404|5) failed to load 'wrong_model_name', the repository has no such model/,
    )
    const broken = '"parameters": {"config": {{"max_batch_size": "16"}}}'
    for (const config of [broken, '[]', '{"max_batch_size":0}', '{"max_batch_size":"x"}']) {
      expect(await load('tiny', { config })).toMatch(/^(400|3) failed to load 'tiny'.*malformed]$/)
    }
    for (const parameters of [{ config: '{"input":[]}' }, { 'file:1/model.onnx': 'AAAA' }]) {
      expect(await load('tiny', { ...parameters })).toMatch(
        /^(400|3) failed to load 'tiny'.*unsupported]$/,
      )
    }
  })

  it.each(['HTTP', 'gRPC'] as const)('takes max_batch_size with a load, over %s', async (door) => {
    for (const config of ['{"max_batch_size":"16"}', '{"max_batch_size":16}']) {
      expect(await DOORS[door]('tiny', { config })).toMatch(/^(200|0) $/)
      expect(commands.at(-1)).toMatchObject({ action: 'load', model: 'tiny', batchSizeMax: 16 })
    }
    expect(await DOORS[door]('tiny', { config: '{}' })).toMatch(/^(200|0) $/)
    expect(commands.at(-1)?.batchSizeMax).toBeUndefined()
  })
})

describe('An image model (image_client, grpc_image_client)', () => {
  const image = (...shape: number[]): TensorSpec => ({ name: 'x', datatype: 'FP32', shape })
  const serve = (input: TensorSpec): void =>
    plane.put(buildLive(() => SCORES(0.25, 0.75), { inputs: [input], outputs: [SCORES_OF_ONE] }))
  const config = async () =>
    (await api(new Request('http://localhost:8000/v2/models/tiny/config'))).json()
  const SCORES_OF_ONE: TensorSpec = { name: 'scores', datatype: 'FP32', shape: [1, 2] }

  it.each<[string, number, readonly number[]]>([
    ['FORMAT_NCHW', 2, [1, 3, 8, 6]],
    ['FORMAT_NHWC', 1, [1, 8, 6, 1]],
    ['FORMAT_NONE', 0, [1, 8, 6, 5]],
    ['FORMAT_NONE', 0, [1, 1, 1, 6]],
    ['FORMAT_NONE', 0, [1, 2]],
  ])('is told with its format: %s (%i) of %j', async (format, number, shape) => {
    serve(image(...shape))
    const dims = shape.slice(1)
    expect(await config()).toMatchObject({
      ...{ max_batch_size: 1, input: [{ format, dims }], output: [{ dims: [2] }] },
    })
    const { message } = await call('ModelConfig', named('tiny'))
    // The configuration, its first input, the format in it; zero is the absent field.
    expect(valueAt(message, 1, 5, 3) ?? 0n).toBe(BigInt(number))
    expect(valueAt(message, 1, 5, 4)).toEqual(Buffer.from(dims))
    expect(valueAt(message, 1, 4)).toBe(1n)
  })

  it('has its batch of one in classes too, each with its label', async () => {
    serve(image(1, 3, 8, 6))
    const parameters = { classification: 1 }
    const request = {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3, 8, 6], data: Array(144).fill(0) }],
      outputs: [{ name: 'scores', parameters }],
    }
    const answer = await api(
      new Request('http://localhost:8000/v2/models/tiny/infer', {
        ...{ method: 'POST', body: JSON.stringify(request) },
      }),
    )
    expect(await answer.json()).toMatchObject({
      outputs: [{ datatype: 'BYTES', shape: [1, 1], data: ['0.750000:1:high'] }],
    })
  })
})

describe('An input whose data come twice', () => {
  const packed = (...values: number[]) => joined(...values.map(varint))
  const input = (name: string, ...more: Uint8Array[]) =>
    delimited(
      5,
      joined(delimited(1, name), delimited(2, 'INT32'), delimited(3, packed(1, 2)), ...more),
    )
  const intContents = delimited(5, delimited(2, packed(8, 9)))

  it('is refused over gRPC in the words of grpc_explicit_int_content_client', async () => {
    // As there: raw contents for one of the two inputs, so their number does not fit either.
    const inputs = [input('INPUT0', intContents), input('INPUT1', intContents)]
    const request = joined(delimited(1, 'simple'), ...inputs, delimited(7, new Uint8Array(8)))
    expect(await grpcError('ModelInfer', request)).toBe(
      '3 contents field must not be specified when using raw_input_contents ' +
        "for 'INPUT0' for model 'simple' [request.malformed]",
    )
  })

  it('is refused over HTTP', async () => {
    const parameters = { binary_data_size: 8 }
    const header = JSON.stringify({ inputs: [{ ...INPUTS[0], parameters }] })
    const answer = await api(
      new Request('http://localhost:8000/v2/models/tiny/infer', {
        method: 'POST',
        body: Buffer.concat([Buffer.from(header), Buffer.alloc(8)]),
        headers: { 'inference-header-content-length': String(header.length) },
      }),
    )
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { error: expect.stringContaining('expected "x" with data or binary_data_size; found both') },
    ])
  })

  it('is refused in the field of another type', async () => {
    const int64 = input('x', delimited(5, delimited(3, packed(8, 9))))
    expect(await grpcError('ModelInfer', joined(delimited(1, 'tiny'), int64))).toMatch(
      /^3 .*expected int_contents for INT32; found int64_contents/,
    )
  })
})
