/** How often a model answers by its release's policy, and what a refusal is: no error, of no arm. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { InferRequest } from '../../../../agent/data-plane.ts'
import {
  createRateLimits,
  ratePolicyOf,
  rowsIn,
} from '../../../../agent/runtime/plane/rate-limit.ts'
import { createInferenceApi } from '../../../../agent/serve/inference-api.ts'
import { ok } from '../../../../shared/kernel/result.ts'
import type { Manifest } from '../../../../shared/model/manifest.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../plane-builder.ts'

const limited = (disclosure: Manifest['disclosure']) => ({
  manifest: { ...(disclosure && { disclosure }) },
})
const slow = { requestsPerMinuteMax: 1, requestsBurstMax: 3 }
const low = (disclosure: Manifest['disclosure'] = slow) =>
  buildLive(() => SCORES(0.9, 0.1), limited(disclosure))
const high = (disclosure?: Manifest['disclosure']) =>
  buildLive(() => SCORES(0.2, 0.8), { version: '1.1.0', ...limited(disclosure) })
const ask = (plane: BuiltPlane, more: Partial<InferRequest> = {}) =>
  plane.infer(
    {
      model: 'tiny',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1, 2) }],
      arrivedAtMs: performance.now(),
      ...more,
    },
    ({ arm }) => ok(arm),
  )
const codes = async (plane: BuiltPlane, times: number, more: Partial<InferRequest> = {}) => {
  const found: string[] = []
  for (let i = 0; i < times; i++) {
    const answer = await ask(plane, more)
    found.push(answer.ok ? 'ok' : answer.error.code)
  }
  return found
}
const LIMITED = 'infer.rate_limited'

describe('A bucket', () => {
  const policy = { perMinute: 60, burst: 2 }

  it('gives a burst, then one request each second, and says when', () => {
    let nowMs = 0
    const limits = createRateLimits(() => nowMs)
    const take = () => limits.take('motor', policy, 1)
    expect([take().ok, take().ok]).toEqual([true, true])
    expect(take()).toMatchObject({
      error: {
        code: LIMITED,
        expected: 'at most 60 requests a minute, 2 at once',
        next: 'try again in 1 s',
      },
    })
    nowMs = 999
    expect(take().ok).toBe(false)
    nowMs = 1_000
    expect(take().ok).toBe(true)
    expect(take().ok).toBe(false)
    nowMs = 3_600_000
    expect([take().ok, take().ok, take().ok]).toEqual([true, true, false])
  })

  it('of one model is not that of another', () => {
    const limits = createRateLimits(() => 0)
    const once = { perMinute: 1, burst: 1 }
    expect(limits.take('a', once, 1).ok).toBe(true)
    expect(limits.take('b', once, 1).ok).toBe(true)
    expect(limits.take('a', once, 1)).toMatchObject({ error: { next: 'try again in 60 s' } })
  })

  it('never lets more pass in any span of time than burst and rate allow, and all that it may', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 1, maxLength: 200 })
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 600 }), fc.nat(20), (all, perMinute, more) => {
        let nowMs = 0
        const burst = 1 + more
        const limits = createRateLimits(() => nowMs)
        const passedAtMs: number[] = []
        for (const gapMs of all) {
          nowMs += gapMs
          if (limits.take('m', { perMinute, burst }, 1).ok) passedAtMs.push(nowMs)
        }
        for (const [first, fromMs] of passedAtMs.entries()) {
          for (const [last, toMs] of passedAtMs.entries()) {
            if (last < first) continue
            const allowed = burst + ((toMs - fromMs) * perMinute) / 60_000
            expect(last - first + 1).toBeLessThanOrEqual(allowed + 1e-6)
          }
        }
        expect(passedAtMs.length).toBeGreaterThanOrEqual(Math.min(burst, all.length))
      }),
      { numRuns: 50 },
    )
  })
})

describe('A request with several rows', () => {
  const policy = { perMinute: 60, burst: 4 }

  it('takes one for each row, and passes only where there are enough', () => {
    let nowMs = 0
    const limits = createRateLimits(() => nowMs)
    expect(limits.take('m', policy, 3).ok).toBe(true)
    expect(limits.take('m', policy, 3)).toMatchObject({ error: { next: 'try again in 2 s' } })
    expect(limits.take('m', policy, 1).ok).toBe(true)
    nowMs = 4_000
    expect(limits.take('m', policy, 4).ok).toBe(true)
  })

  it('that has more than a burst never passes, and says so', () => {
    const limits = createRateLimits(() => 0)
    expect(limits.take('m', policy, 5)).toMatchObject({
      error: { code: LIMITED, found: '5 rows', next: 'send them in several requests' },
    })
    expect(limits.take('m', policy, 4).ok).toBe(true)
  })

  it('is known by the batch dimension of the manifest, and is one without it', () => {
    const tensor = (shape: number[]) => [
      { name: 'x', datatype: 'FP32' as const, shape, data: new Float32Array(0) },
    ]
    const spec = { name: 'x', datatype: 'FP32' as const, shape: ['n', 2] }
    expect(rowsIn([spec], tensor([7, 2]))).toBe(1)
    expect(rowsIn([{ ...spec, batchAxis: 0 }], tensor([7, 2]))).toBe(7)
    expect(rowsIn([{ ...spec, batchAxis: 1 }], tensor([7, 2]))).toBe(2)
    expect(rowsIn([{ ...spec, batchAxis: 0 }], tensor([0, 2]))).toBe(1)
  })

  it('cannot get many answers for one', async () => {
    const plane = buildPlane()
    const inputs = [{ name: 'x', datatype: 'FP32' as const, shape: ['n', 2], batchAxis: 0 }]
    plane.put(buildLive(() => SCORES(0.9, 0.1), { manifest: { inputs, disclosure: slow } }))
    const rows = (n: number) => [
      { name: 'x', datatype: 'FP32' as const, shape: [n, 2], data: new Float32Array(2 * n) },
    ]
    expect(await codes(plane, 1, { inputs: rows(2) })).toEqual(['ok'])
    expect(await codes(plane, 1, { inputs: rows(2) })).toEqual([LIMITED])
    expect(await codes(plane, 1, { inputs: rows(100) })).toEqual([LIMITED])
    expect(await codes(plane, 1, { inputs: rows(1) })).toEqual(['ok'])
  })
})

describe('The policy of a model', () => {
  it('is that of its strictest release, and none where no release has one', () => {
    const of = (requestsPerMinuteMax?: number, requestsBurstMax?: number) => ({
      disclosure: { requestsPerMinuteMax, requestsBurstMax } as NonNullable<Manifest['disclosure']>,
    })
    expect(ratePolicyOf([{}, of()])).toBeUndefined()
    expect(ratePolicyOf([of(600)])).toEqual({ perMinute: 600, burst: 60 })
    expect(ratePolicyOf([of(5)])).toEqual({ perMinute: 5, burst: 1 })
    expect(ratePolicyOf([of(600), {}, of(60, 40)])).toEqual({ perMinute: 60, burst: 40 })
  })
})

describe('A request over the rate', () => {
  it('is refused, and counts for no arm, no window and no guard', async () => {
    const plane = buildPlane()
    plane.put(low(), { candidate: high(), trafficShare: 500_000, previous: low() })
    expect(await codes(plane, 100)).toEqual(['ok', 'ok', 'ok', ...Array(97).fill(LIMITED)])
    const windows = plane.flush().flatMap(({ arms }) => arms.map(({ window }) => window))
    expect(windows.reduce((sum, { n }) => sum + n, 0)).toBe(3)
    expect(plane.broke).toEqual([])
    const rows = plane.statistics()
    expect(rows.reduce((sum, { rateLimited }) => sum + rateLimited, 0)).toBe(97)
    expect(rows.flatMap(({ errors }) => Object.values(errors)).every((n) => n === 0)).toBe(true)
  })

  it('draws no arm: those that pass draw as if it had never come', async () => {
    let nowMs = 0
    const arms = async (refusals: number) => {
      nowMs = 0
      const plane = buildPlane({ nowMs: () => nowMs })
      const once = { requestsPerMinuteMax: 1, requestsBurstMax: 1 }
      plane.put(low(once), { candidate: high(), trafficShare: 500_000 })
      const drawn: unknown[] = []
      for (let i = 0; i < 20; i++) {
        const answer = await ask(plane, { arrivedAtMs: nowMs })
        drawn.push(answer.ok && answer.value)
        expect(await codes(plane, refusals)).toEqual(Array(refusals).fill(LIMITED))
        nowMs += 60_000
      }
      return drawn
    }
    const drawn = await arms(2)
    expect(drawn).toEqual(await arms(0))
    expect(new Set(drawn)).toEqual(new Set(['baseline', 'canary']))
  })

  it('cannot get by with a forced arm, a key, a version or a new plan', async () => {
    const plane = buildPlane()
    plane.put(low())
    await codes(plane, 3)
    plane.put(low(), { candidate: high(), trafficShare: 500_000, generation: 2 })
    for (const more of [{ arm: 'canary' as const }, { key: 'a' }, { version: '1.1.0' }]) {
      expect(await codes(plane, 1, more)).toEqual([LIMITED])
    }
  })

  it('is held to the policy of a candidate too, if that is the stricter one', async () => {
    const plane = buildPlane()
    plane.put(low({}), { candidate: high(slow), trafficShare: 0 })
    expect(await codes(plane, 4)).toEqual(['ok', 'ok', 'ok', LIMITED])
  })

  it('is not one that was refused before', async () => {
    const plane = buildPlane()
    plane.put(low())
    await codes(plane, 5, { inputs: [] })
    await codes(plane, 5, { version: '9.9.9' })
    expect(await codes(plane, 4)).toEqual(['ok', 'ok', 'ok', LIMITED])
  })

  it('is none where no release has such a policy', async () => {
    const plane = buildPlane()
    plane.put(low({ decimals: 2 }))
    expect(new Set(await codes(plane, 200))).toEqual(new Set(['ok']))
  })
})

describe('Over HTTP', () => {
  const exhausted = async () => {
    const plane = buildPlane()
    plane.put(low())
    await codes(plane, 3)
    return createInferenceApi(plane, { requestBytesMax: 65_536, loopbackOnly: true })
  }
  const post = (
    api: Awaited<ReturnType<typeof exhausted>>,
    body: string | Uint8Array<ArrayBuffer>,
    headers = {},
  ) =>
    api(
      new Request('http://localhost:8000/v2/models/tiny/infer', { method: 'POST', body, headers }),
    )

  it('it is 429 with Retry-After, for JSON and for binary tensors', async () => {
    const api = await exhausted()
    const json = { name: 'x', datatype: 'FP32', shape: [1, 2] }
    const plain = await post(api, JSON.stringify({ inputs: [{ ...json, data: [1, 2] }] }))
    const head = JSON.stringify({
      inputs: [{ ...json, parameters: { binary_data_size: 8 } }],
    })
    const binary = new Uint8Array([...new TextEncoder().encode(head), ...new Uint8Array(8)])
    const raw = await post(api, binary, { 'inference-header-content-length': String(head.length) })
    for (const answer of [plain, raw]) {
      expect(answer.status).toBe(429)
      expect(answer.headers.get('linnet-code')).toBe(LIMITED)
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(50)
      expect(Number(answer.headers.get('retry-after'))).toBeLessThanOrEqual(60)
      expect((await answer.json()).error).toContain('1 requests a minute')
    }
  })

  it('it stands in the metrics and in the statistics', async () => {
    const api = await exhausted()
    await post(api, JSON.stringify({ inputs: [] }))
    const json = { name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }
    await post(api, JSON.stringify({ inputs: [json] }))
    const get = (path: string) => api(new Request(`http://localhost:8000${path}`))
    const metrics = await (await get('/metrics')).text()
    expect(metrics).toContain('linnet_inference_rate_limited{model="tiny",version="1.0.0"} 1\n')
    expect(metrics).not.toMatch(/^nv_inference_request_failure.* [1-9]/m)
    const { model_stats } = await (await get('/v2/models/stats')).json()
    expect(model_stats).toMatchObject([{ name: 'tiny', linnet_rate_limited: 1 }])
  })
})
