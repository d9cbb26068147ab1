import { describe, expect, it } from 'vitest'
import { createInferenceApi } from '../../../agent/serve/inference-api.ts'
import { decodePriority, decodeStream } from '../../../agent/serve/request-control.ts'
import { ok } from '../../../shared/kernel/result.ts'
import { buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

describe('The parameters of a request', () => {
  it.each([
    [{}, undefined],
    [{ priority: 0 }, undefined],
    [{ priority: 1 }, 'high'],
    [{ priority: 2 }, 'normal'],
    [{ priority: 9 }, 'normal'],
    [{ 'linnet-priority': 'high', priority: 2 }, 'high'],
  ])('%j mean the priority %s', (parameters, priority) => {
    expect(decodePriority(parameters)).toEqual(ok(priority))
  })

  it.each([{ priority: -1 }, { priority: 1.5 }, { priority: '1' }, { 'linnet-priority': 'low' }])(
    '%j name no priority',
    (parameters) => {
      expect(decodePriority(parameters)).toMatchObject({ error: { code: 'request.malformed' } })
    },
  )

  it.each([
    [{}, undefined],
    [{ sequence_id: 0 }, undefined],
    [{ sequence_id: '', sequence_start: false }, undefined],
    [
      { sequence_id: 7, sequence_start: true },
      { id: '7', start: true, end: false },
    ],
    [
      { sequence_id: 'call-7', sequence_end: true },
      { id: 'call-7', start: false, end: true },
    ],
  ])('%j mean the stream %j', (parameters, stream) => {
    expect(decodeStream(parameters)).toEqual(ok(stream))
  })

  it.each([
    { sequence_start: true },
    { sequence_id: 0, sequence_end: true },
    { sequence_id: -1 },
    { sequence_id: 2 ** 53 },
    { sequence_id: 'x'.repeat(257) },
    { sequence_id: 7, sequence_start: 1 },
    { sequence_id: {} },
  ])('%j name no stream', (parameters) => {
    expect(decodeStream(parameters)).toMatchObject({ error: { code: 'request.malformed' } })
  })
})

describe('Over HTTP', () => {
  const api = () => {
    const plane = buildPlane()
    plane.put(buildLive(() => SCORES(1, 0)))
    const serve = createInferenceApi(plane, { requestBytesMax: 1_000, loopbackOnly: false })
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }]
    const post = async (parameters: object | string, headers = {}) => {
      const text = typeof parameters === 'string' ? parameters : JSON.stringify(parameters)
      const body = `{"inputs":${JSON.stringify(inputs)},"parameters":${text}}`
      const url = 'http://localhost/v2/models/tiny/infer'
      return serve(new Request(url, { method: 'POST', body, headers }))
    }
    return { plane, post }
  }

  it('a stream keeps its version, and is told with 410 when that is gone', async () => {
    const { plane, post } = api()
    const stream = { sequence_id: 42 }
    expect((await post(stream)).status).toBe(400)
    expect((await post({ ...stream, sequence_start: true })).status).toBe(200)
    plane.put(
      buildLive(() => SCORES(1, 0), { version: '1.1.0' }),
      { generation: 2 },
    )
    const kept = await post(stream)
    expect(kept.headers.get('linnet-release')).toBe('tiny@1.0.0')
    plane.swap(new Map())
    plane.put(
      buildLive(() => SCORES(1, 0), { version: '1.2.0' }),
      { generation: 3 },
    )
    const gone = await post(stream)
    expect([gone.status, gone.headers.get('linnet-code')]).toEqual([410, 'stream.version_gone'])
  })

  it('streams whose ids differ in the last of many digits are two', async () => {
    const { post } = api()
    const ask = async (id: bigint, start: boolean) =>
      (await post(`{"sequence_id":${id},"sequence_start":${start}}`)).headers.get('linnet-code')
    expect(await ask(2n ** 53n, true)).toBeNull()
    expect(await ask(2n ** 53n + 1n, false)).toBe('stream.unknown')
    expect(await ask(2n ** 64n - 1n, true)).toBeNull()
    expect(await ask(2n ** 53n, false)).toBeNull()
  })

  it('a priority may stand in a header, and must be one', async () => {
    const { post } = api()
    expect((await post({}, { 'linnet-priority': 'high' })).status).toBe(200)
    const wrong = await post({}, { 'linnet-priority': 'urgent' })
    expect([wrong.status, wrong.headers.get('linnet-code')]).toEqual([400, 'request.malformed'])
  })
})
