/**
 * What Triton's published client examples look for in answers, one row for each of their assertions
 * (triton-inference-server/client, src/python/examples). Messages of gRPC are built from the published
 * field numbers; the releases compute in JavaScript.
 */
import { type ClientHttp2Session, connect } from 'node:http2'
import { BinaryWriter } from '@bufbuild/protobuf/wire'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type GrpcListening, listenGrpc } from '../../../agent/serve/grpc-listener.ts'
import { createInferenceApi, type InferenceApi } from '../../../agent/serve/inference-api.ts'
import { noSuchModel, type RepositoryCommand } from '../../../agent/serve/model-repository.ts'
import { ok } from '../../../shared/kernel/result.ts'
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
  const limits = { requestBytesMax: 65_536, loopbackOnly: true, repository }
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

/** What it says of a refused call: the status and its details. */
function grpcError(method: string, message: Uint8Array): Promise<string> {
  const stream = client.request({
    ...{ ':method': 'POST', ':path': `/inference.GRPCInferenceService/${method}` },
    ...{ 'content-type': 'application/grpc', te: 'trailers' },
  })
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return new Promise((resolve, reject) => {
    const keep = (fields: object) => {
      const { 'grpc-status': status, 'grpc-message': details } = fields as Record<string, string>
      if (status !== undefined) resolve(`${status} ${decodeURIComponent(details ?? '')}`)
    }
    stream.on('response', keep).on('trailers', keep).on('error', reject).resume()
    stream.end(Buffer.concat([prefix, message]))
  })
}

const named = (name: string, version = '') =>
  new BinaryWriter().tag(1, 2).string(name).tag(2, 2).string(version).finish()
const INPUTS = [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 0] }]

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
    const writer = new BinaryWriter().tag(2, 2).string(name)
    for (const [key, text] of Object.entries(parameters)) {
      writer.tag(3, 2).fork().tag(1, 2).string(key)
      writer.tag(2, 2).fork().tag(3, 2).string(text).join().join()
    }
    return writer.finish()
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
