/** The local API over a real data plane with computed sessions: the protocol, without sockets. */
import { beforeEach, describe, expect, it } from 'vitest'
import { createInferenceApi } from '../../../agent/serve/inference-api.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

const URL_BASE = 'http://localhost:8000'
let plane: BuiltPlane
let api: ReturnType<typeof createInferenceApi>

beforeEach(() => {
  plane = buildPlane()
  api = createInferenceApi(plane, { requestBytesMax: 65_536, loopbackOnly: true })
})

const get = async (path: string) => {
  const answer = await api(new Request(`${URL_BASE}${path}`))
  return { status: answer.status, body: await answer.json() }
}
const post = (path: string, body: string | Uint8Array, headers: Record<string, string> = {}) =>
  Promise.resolve(
    api(
      new Request(`${URL_BASE}${path}`, {
        method: 'POST',
        body: body as BodyInit,
        headers: { 'content-length': String(body.length), ...headers },
      }),
    ),
  )
const x = (data: unknown, more: object = {}) => ({
  ...{ name: 'x', datatype: 'FP32', shape: [1, 2], data },
  ...more,
})
const infer = async (request: object, path = '/v2/models/tiny/infer', headers = {}) => {
  const answer = await post(path, JSON.stringify(request), headers)
  const body = (await answer.json()) as Record<string, unknown> & { error?: string }
  return { status: answer.status, headers: answer.headers, body }
}
const current = () => buildLive((inputs) => SCORES(0.75, Number(inputs[0]?.data[1])))

describe('Health and metadata', () => {
  it('is live at once and ready with a plan', async () => {
    expect((await get('/v2/health/live')).status).toBe(200)
    expect((await get('/v2/health/ready')).status).toBe(503)
    plane.put(current())
    expect((await get('/v2/health/ready')).status).toBe(200)
    expect((await get('/v2/models/tiny/ready')).status).toBe(200)
    expect((await get('/v2/models/tiny/versions/3.0.0/ready')).status).toBe(503)
  })

  it('tells clients to wait for a model that a plan brings, and knows no other', async () => {
    plane.put(current())
    plane.expect(['tiny', 'faces'])
    expect((await get('/v2/health/ready')).status).toBe(503)
    expect((await get('/v2/models/tiny/ready')).status).toBe(200)
    expect((await get('/v2/models/faces')).status).toBe(503)
    expect((await infer({ inputs: [] }, '/v2/models/faces/infer')).status).toBe(503)
    expect((await get('/v2/models/other')).status).toBe(404)
    plane.put(current())
    expect((await get('/v2/health/ready')).status).toBe(200)
    expect((await get('/v2/models/faces')).status).toBe(404)
  })

  it('names the server and its extensions', async () => {
    expect((await get('/v2')).body).toMatchObject({
      name: 'linnet',
      extensions: [
        ...['binary_tensor_data', 'classification', 'model_configuration', 'model_repository'],
        ...['parameters', 'schedule_policy', 'sequence', 'statistics', 'linnet_feedback'],
      ],
    })
  })

  it('describes a model, with -1 for free dimensions', async () => {
    plane.put(current(), { candidate: buildLive(() => SCORES(0, 1), { version: '1.1.0' }) })
    expect((await get('/v2/models/tiny')).body).toEqual({
      name: 'tiny',
      versions: ['1.0.0', '1.1.0'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
      outputs: [{ name: 'scores', datatype: 'FP32', shape: [-1, 2] }],
    })
    expect((await get('/v2/models/other')).status).toBe(404)
    const index = await (await post('/v2/repository/index', '{}')).json()
    expect(index).toMatchObject([
      { name: 'tiny', version: '1.0.0', state: 'READY' },
      { name: 'tiny', version: '1.1.0', state: 'READY' },
    ])
  })

  it('counts in statistics and metrics', async () => {
    plane.put(current())
    await infer({ inputs: [x([1, 0.25])] })
    const { model_stats } = (await get('/v2/models/tiny/stats')).body
    expect(model_stats).toMatchObject([
      {
        name: 'tiny',
        version: '1.0.0',
        inference_count: 1,
        inference_stats: { fail: { count: 0 } },
      },
    ])
    const scraped = await api(new Request(`${URL_BASE}/metrics`))
    expect(scraped.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const metrics = await scraped.text()
    expect(metrics).toContain('nv_inference_request_success{model="tiny",version="1.0.0"} 1\n')
  })
})

describe('Inference with JSON', () => {
  beforeEach(() => plane.put(current()))

  it('answers with release, arm and the id of the request', async () => {
    const { status, headers, body } = await infer({ id: 'r-1', inputs: [x([[1, 0.25]])] })
    expect(status).toBe(200)
    expect(headers.get('linnet-arm')).toBe('baseline')
    expect(headers.get('linnet-release')).toBe('tiny@1.0.0')
    expect(body).toEqual({
      model_name: 'tiny',
      model_version: '1.0.0',
      id: 'r-1',
      parameters: { arm: 'baseline', variant: 'fp32', provider: 'cpu' },
      outputs: [{ name: 'scores', datatype: 'FP32', shape: [1, 2], data: [0.75, 0.25] }],
    })
  })

  it('lets the header or the parameter force an arm', async () => {
    plane.put(current(), { candidate: buildLive(() => SCORES(0, 1), { version: '1.1.0' }) })
    const byHeader = await infer({ inputs: [x([1, 1])] }, undefined, { 'linnet-arm': 'canary' })
    expect(byHeader.body.model_version).toBe('1.1.0')
    const parameters = { 'linnet-arm': 'canary' }
    const byParameter = await infer({ parameters, inputs: [x([1, 1])] })
    expect(byParameter.headers.get('linnet-arm')).toBe('canary')
    const strange = await infer({ inputs: [x([1, 1])] }, undefined, { 'linnet-arm': 'third' })
    expect(strange.status).toBe(400)
  })

  it.each<[string, object, string]>([
    ['no inputs', {}, 'expected "inputs", at most 256; found nothing'],
    ['an unknown input', { inputs: [x([1, 2], { name: 'z' })] }, 'no input "z".; expected x'],
    ['a missing input', { inputs: [] }, 'expected x FP32 [n,2]; found no input'],
    ['an input twice', { inputs: [x([1, 2]), x([1, 2])] }, 'given twice'],
    [
      'a wrong type',
      { inputs: [x([1, 2], { datatype: 'INT32' })] },
      'expected FP32 [n,2]; found INT32 [1,2]',
    ],
    ['an unknown type', { inputs: [x([1, 2], { datatype: 'FP8' })] }, 'found "FP8"'],
    [
      'a wrong shape',
      { inputs: [x([1, 2], { shape: [2, 1] })] },
      'expected FP32 [n,2]; found FP32 [2,1]',
    ],
    ['too few elements', { inputs: [x([1])] }, 'expected 2 elements, from its shape; found 1'],
    ['a negative size', { inputs: [x([], { shape: [-1, 2] })] }, 'found [-1,2]'],
    ['a huge shape', { inputs: [x([], { shape: [1e9, 1e9] })] }, 'at most 268435456 elements'],
    ['text for a number', { inputs: [x([1, '2'])] }, 'found "2" at element 1'],
    ['an unknown output', { inputs: [x([1, 2])], outputs: [{ name: 'y' }] }, 'no such output'],
    [
      'a classification of no whole number',
      { inputs: [x([1, 2])], outputs: [{ name: 'scores', parameters: { classification: 1.5 } }] },
      'expected a classification of so many classes; found 1.5',
    ],
    ['an endless id', { id: 'i'.repeat(257), inputs: [x([1, 2])] }, 'at most 256 characters'],
  ])('refuses %s with 400, saying what was expected', async (_, request, expected) => {
    const { status, body } = await infer(request)
    expect(status).toBe(400)
    expect(body.error).toContain(expected)
    expect(plane.flush()).toEqual([])
  })

  it('refuses what is no JSON, what is too large and what is encoded otherwise', async () => {
    const path = '/v2/models/tiny/infer'
    expect((await post(path, 'garbage')).status).toBe(400)
    expect((await post(path, new Uint8Array(65_537))).status).toBe(413)
    expect((await post(path, 'x', { 'content-encoding': 'br' })).status).toBe(415)
  })

  it('limits a body of undeclared length while it reads', async () => {
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(16_384)),
    })
    const answer = await api(
      new Request(`${URL_BASE}/v2/models/tiny/infer`, {
        ...{ method: 'POST', body: endless, duplex: 'half' },
      } as RequestInit),
    )
    expect(answer.status).toBe(413)
  })

  it('answers 404 for a model, a version or a route that is not there', async () => {
    const request = { inputs: [x([1, 2])] }
    expect((await infer(request, '/v2/models/other/infer')).status).toBe(404)
    expect((await infer(request, '/v2/models/tiny/versions/9.0.0/infer')).status).toBe(404)
    expect((await infer(request, '/v2/models/tiny/guess')).status).toBe(404)
  })

  it('refuses pages of other sites', async () => {
    const page = { origin: 'https://evil.example' }
    expect((await infer({}, '/v2/models/tiny/infer', page)).status).toBe(403)
    const rebound = await api(
      new Request('http://localhost/v2', { headers: { host: 'evil.example' } }),
    )
    expect(rebound.status).toBe(403)
  })

  it('says 503 with Retry-After when it cannot answer in time', async () => {
    const busy = buildPlane({ queueLengthMax: 0 })
    busy.put(current())
    const full = createInferenceApi(busy, { requestBytesMax: 65_536, loopbackOnly: true })
    const body = JSON.stringify({ inputs: [x([1, 2])] })
    const answer = await full(
      new Request(`${URL_BASE}/v2/models/tiny/infer`, { method: 'POST', body }),
    )
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect(answer.headers.get('linnet-code')).toBe('infer.overloaded')
  })

  it('writes NaN and infinity as text in JSON, as they are in bytes, and counts NaN', async () => {
    plane.put(buildLive(() => SCORES(Number.NaN, -Infinity)))
    const { status, body } = await infer({ inputs: [x([1, 2])] })
    expect(status).toBe(200)
    expect(body.outputs).toMatchObject([{ data: ['NaN', '-Infinity'] }])
    expect(plane.flush()[0]?.arms[0]?.window.errors.invalid_output).toBe(1)
  })
})

/** One input and one output of each type that ONNX Runtime carries, given back as they came. */
const TYPES: [TensorSpec['datatype'], unknown[], Uint8Array][] = [
  ['BOOL', [true, false], Uint8Array.of(1, 0)],
  ['UINT8', [0, 255], Uint8Array.of(0, 255)],
  ['INT8', [-128, 127], Uint8Array.of(128, 127)],
  ['UINT16', [1, 65_535], Uint8Array.of(1, 0, 255, 255)],
  ['INT16', [-2, 3], Uint8Array.of(254, 255, 3, 0)],
  ['UINT32', [1, 4_294_967_295], Uint8Array.of(1, 0, 0, 0, 255, 255, 255, 255)],
  ['INT32', [-1, 2], Uint8Array.of(255, 255, 255, 255, 2, 0, 0, 0)],
  ['INT64', [-1, '9223372036854775807'], bytesOf64([-1n, 2n ** 63n - 1n])],
  ['UINT64', [7, '18446744073709551615'], bytesOf64([7n, 2n ** 64n - 1n])],
  ['FP16', [1.5, -2], Uint8Array.of(0, 0x3e, 0, 0xc0)],
  ['FP32', [1.5, -2], Uint8Array.of(0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0)],
  ['FP64', [1.5, -2], new Uint8Array(Float64Array.of(1.5, -2).buffer)],
  ['BYTES', ['ab', 'ü'], Uint8Array.of(2, 0, 0, 0, 97, 98, 2, 0, 0, 0, 0xc3, 0xbc)],
]
function bytesOf64(values: bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values.map((v) => BigInt.asUintN(64, v))).buffer)
}

describe.each(TYPES)('A tensor of %s', (datatype, json, bytes) => {
  beforeEach(() => {
    const spec = (name: string): TensorSpec => ({ name, datatype, shape: [2] })
    plane.put(
      buildLive((inputs) => inputs.map((input) => ({ ...input, name: 'y' })), {
        ...{ inputs: [spec('x')], outputs: [spec('y')], manifest: { classes: null } },
      }),
    )
  })

  it('goes in and out as JSON', async () => {
    const { body } = await infer({ inputs: [{ name: 'x', datatype, shape: [2], data: json }] })
    expect(body.outputs).toEqual([{ name: 'y', datatype, shape: [2], data: json }])
  })

  it('goes in and out as binary data, wherever the header ends', async () => {
    for (const padding of ['', ' ', '  ']) {
      const header = `${JSON.stringify({
        inputs: [
          { name: 'x', datatype, shape: [2], parameters: { binary_data_size: bytes.length } },
        ],
        outputs: [{ name: 'y', parameters: { binary_data: true } }],
      })}${padding}`
      const answer = await post(
        '/v2/models/tiny/infer',
        Buffer.concat([Buffer.from(header), bytes]),
        { 'inference-header-content-length': String(header.length) },
      )
      const body = new Uint8Array(await answer.arrayBuffer())
      const length = Number(answer.headers.get('inference-header-content-length'))
      const { outputs } = JSON.parse(Buffer.from(body.subarray(0, length)).toString())
      expect(outputs).toEqual([
        { name: 'y', datatype, shape: [2], parameters: { binary_data_size: bytes.length } },
      ])
      expect([...body.subarray(length)]).toEqual([...bytes])
    }
  })
})

describe('Integers over 2^53 in JSON', () => {
  const serve = (datatype: TensorSpec['datatype']) => {
    const spec = (name: string): TensorSpec => ({ name, datatype, shape: [2] })
    plane.put(
      buildLive((inputs) => inputs.map((input) => ({ ...input, name: 'y' })), {
        ...{ inputs: [spec('x')], outputs: [spec('y')], manifest: { classes: null } },
      }),
    )
  }
  const send = async (datatype: TensorSpec['datatype'], data: string, id = '"r"') => {
    serve(datatype)
    const input = `{"name":"x","datatype":"${datatype}","shape":[2],"data":[${data}]}`
    const answer = await post('/v2/models/tiny/infer', `{"id":${id},"inputs":[${input}]}`)
    return (await answer.json()) as { error?: string; id?: string; outputs?: { data: unknown[] }[] }
  }

  it.each<[TensorSpec['datatype'], string, unknown[]]>([
    ['INT64', '9007199254740993, -9223372036854775808', ['9007199254740993', `${-(2n ** 63n)}`]],
    ['UINT64', '18446744073709551615,\n7', ['18446744073709551615', 7]],
    ['INT64', '9007199254740991, "9223372036854775807"', [2 ** 53 - 1, `${2n ** 63n - 1n}`]],
    ['FP64', '10000000000000000000000, 0.12345678901234566', [1e22, 0.12345678901234566]],
  ])('are the numbers that were sent: %s [%s]', async (datatype, data, answered) => {
    expect((await send(datatype, data)).outputs?.[0]?.data).toEqual(answered)
  })

  it.each<[TensorSpec['datatype'], string, string]>([
    ['INT64', '9223372036854775808, 1', '9223372036854775808'],
    ['UINT64', '-9007199254740993, 1', '-9007199254740993'],
    ['INT64', '1e19, 1', '10000000000000000000'],
  ])(
    'out of range or rounded are refused as they were sent: %s [%s]',
    async (type, data, found) => {
      expect((await send(type, data)).error).toContain(found)
    },
  )

  it('stay text in a text, with or without escapes', async () => {
    const id = '"a\\",9007199254740993,[9007199254740993]\\\\"'
    expect((await send('INT64', '1, 2', id)).id).toBe(JSON.parse(id))
  })
})

describe('Texts that the binding of ONNX Runtime would change', () => {
  beforeEach(() => {
    const spec = (name: string): TensorSpec => ({ name, datatype: 'BYTES', shape: [2] })
    plane.put(
      buildLive((inputs) => inputs.map((input) => ({ ...input, name: 'y' })), {
        ...{ inputs: [spec('x')], outputs: [spec('y')], manifest: { classes: null } },
      }),
    )
  })
  const text = { name: 'x', datatype: 'BYTES', shape: [2] }

  it.each([['he\0llo'], ['\ud83d']])('are refused, not cut or replaced: %j', async (changed) => {
    const { status, body } = await infer({ inputs: [{ ...text, data: ['\u{1f600}', changed] }] })
    expect(status).toBe(400)
    expect(body.error).toContain('whole characters without NUL; found another at element 1')
  })

  it('are refused in binary data too', async () => {
    const bytes = Uint8Array.of(1, 0, 0, 0, 97, 2, 0, 0, 0, 98, 0)
    const parameters = { binary_data_size: bytes.length }
    const header = JSON.stringify({ inputs: [{ ...text, parameters }] })
    const answer = await post(
      '/v2/models/tiny/infer',
      Buffer.concat([Buffer.from(header), bytes]),
      { 'inference-header-content-length': String(header.length) },
    )
    expect([answer.status, answer.headers.get('linnet-code')]).toEqual([400, 'infer.invalid_input'])
  })
})

describe('Binary data that does not fit', () => {
  beforeEach(() => plane.put(current()))
  const send = async (size: unknown, payload: number, headerLength?: number) => {
    const header = JSON.stringify({
      inputs: [
        {
          ...{ name: 'x', datatype: 'FP32', shape: [1, 2] },
          parameters: { binary_data_size: size },
        },
      ],
    })
    const body = Buffer.concat([Buffer.from(header), Buffer.alloc(payload)])
    const answer = await post('/v2/models/tiny/infer', body, {
      'inference-header-content-length': String(headerLength ?? header.length),
    })
    return { status: answer.status, error: ((await answer.json()) as { error: string }).error }
  }

  it.each<[string, unknown, number, string]>([
    ['a size other than the shape asks for', 4, 4, 'expected 8 bytes, from its shape; found 4'],
    ['a size past the end of the body', 8, 4, 'within the 4 bytes left; found 8'],
    ['a size that is no number', '8', 8, 'found "8"'],
    ['bytes after the last tensor', 8, 12, 'no bytes after the last tensor; found 4 bytes'],
  ])('is refused: %s', async (_, size, payload, expected) => {
    const { status, error } = await send(size, payload)
    expect(status).toBe(400)
    expect(error).toContain(expected)
  })

  it.each([-1, 1e9, Number.NaN])('is refused with a header length of %s', async (length) => {
    expect((await send(8, 8, length)).status).toBe(400)
  })
})
