import { encode } from 'cbor-x'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createPrng } from '../../../shared/kernel/prng.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import { COUNT_MAX } from '../../../shared/sketch/count-run.ts'
import { buildReference } from '../../../shared/sketch/reference-profile.ts'
import {
  emptyWindow,
  mergeWindows,
  type Window,
  windowShape,
} from '../../../shared/sketch/window.ts'
import { checkWindowShape, windowFromJson } from '../../../shared/sketch/window-check.ts'
import { recordLabel, recordRequest, recordShadow } from '../../../shared/sketch/window-record.ts'
import { windowFromWire, windowToWire } from '../../../shared/sketch/window-wire.ts'
import { anyWindow, someShape } from '../../fixtures/sketch-builders.ts'

const shape = someShape()
const merge = (a: Window, b: Window): Window => unwrap(mergeWindows(a, b))
const codeOf = (result: ReturnType<typeof windowFromJson>) => (result.ok ? 'ok' : result.error.code)

describe('a window', () => {
  it('counts every request that drew the arm, answered or not', () => {
    const window = emptyWindow(shape)
    recordRequest(window, shape, { latencyMs: { total: 5, compute: 4 }, features: [1, null] })
    recordRequest(window, shape, { error: 'overloaded', latencyMs: {} })
    recordRequest(window, shape, { error: 'timeout', latencyMs: { total: 21 } })
    expect(window.n).toBe(3)
    expect(window.errors).toMatchObject({ overloaded: 1, timeout: 1, crashed: 0 })
    expect(window.features.map(({ missing }) => missing)).toEqual([0, 1])
  })

  it('counts a request as slow when it takes longer than the limit, not when it meets it', () => {
    const window = emptyWindow(shape)
    for (const total of [19.9, 20, 20.0001]) recordRequest(window, shape, { latencyMs: { total } })
    expect(window.nBad.latency).toBe(1)
  })

  it('counts classes, tenths of confidence, shadow answers and labels', () => {
    const window = emptyWindow(shape)
    for (const [classIndex, confidence] of [
      [2, 1],
      [2, 0.95],
      [0, 0.05],
      [9, 2],
    ] as const) {
      recordRequest(window, shape, { latencyMs: {}, prediction: { classIndex, confidence } })
    }
    recordShadow(window, true)
    recordShadow(window, false)
    recordLabel(window, 2, 2)
    recordLabel(window, 1, 2)
    expect(window.outputs.classCounts).toEqual([1, 0, 2])
    expect(window.outputs.confidenceBins).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 2])
    expect(window.outputs).toMatchObject({ shadowCompared: 2, shadowDisagreed: 1 })
    expect(window.labels).toEqual({
      labelled: 2,
      correct: 1,
      confusion: [0, 0, 0, 0, 0, 0, 0, 1, 1],
    })
  })
})

describe('merging windows', () => {
  it('is commutative and associative, with the empty window as identity', () => {
    fc.assert(
      fc.property(anyWindow(), anyWindow(), anyWindow(), (a, b, c) => {
        expect(merge(a, b)).toEqual(merge(b, a))
        expect(merge(merge(a, b), c)).toEqual(merge(a, merge(b, c)))
        expect(merge(a, emptyWindow(shape))).toEqual(a)
      }),
      { numRuns: 50 },
    )
  })

  it('shares nothing with its operands', () => {
    fc.assert(
      fc.property(anyWindow(), (a) => {
        const before = structuredClone(a)
        recordRequest(merge(a, emptyWindow(shape)), shape, {
          latencyMs: { total: 1, queue: 1 },
          features: [1, 1],
          prediction: { classIndex: 0, confidence: 1 },
        })
        expect(a).toEqual(before)
      }),
      { numRuns: 20 },
    )
  })

  it('refuses windows of another shape and sums that would not be exact', () => {
    const other = windowShape({
      serviceLevels: {
        latencyMsMax: 21,
        latencyBadShareMax: 1,
        errorRateMax: 1,
        qualityDropMax: 1,
      },
      reference: [...shape.features],
      classes: null,
    })
    expect(mergeWindows(emptyWindow(shape), emptyWindow(other))).toMatchObject({
      error: { code: 'window.shape_mismatch' },
    })
    const short = { ...emptyWindow(shape), features: [] }
    expect(mergeWindows(emptyWindow(shape), short)).toMatchObject({
      error: { code: 'window.shape_mismatch' },
    })
    const full = { ...emptyWindow(shape), n: COUNT_MAX }
    expect(mergeWindows(full, full)).toMatchObject({ error: { code: 'window.overflow' } })
  })
})

describe('a window from outside', () => {
  it('comes back from JSON and from its positional form as it was', () => {
    fc.assert(
      fc.property(anyWindow(), (window) => {
        const value = structuredClone(window)
        expect(windowFromJson(JSON.parse(JSON.stringify(window)))).toEqual({ ok: true, value })
        expect(windowFromWire(windowToWire(window))).toEqual({ ok: true, value })
      }),
      { numRuns: 50 },
    )
  })

  it('is refused when a field is unknown, missing, negative or a fraction', () => {
    const json = emptyWindow(shape)
    const { n: _, ...withoutN } = json
    for (const wrong of [
      { ...json, extra: 1 },
      withoutN,
      { ...json, n: -1 },
      { ...json, n: 0.5 },
    ]) {
      expect(codeOf(windowFromJson(wrong))).toBe('window.malformed')
    }
  })

  it('is refused when more went wrong than happened', () => {
    const json = { ...emptyWindow(shape), n: 4 }
    const errors = { ...json.errors, timeout: 3, crashed: 2 }
    expect(codeOf(windowFromJson({ ...json, errors }))).toBe('window.inconsistent')
    expect(codeOf(windowFromJson({ ...json, nBad: { latency: 1 } }))).toBe('window.inconsistent')
    const [ramp, ...rest] = json.features
    const features = [{ ...ramp!, deviation: 1 }, ...rest]
    expect(codeOf(windowFromJson({ ...json, features }))).toBe('window.inconsistent')
    const labels = { ...json.labels, labelled: 1, correct: 2 }
    expect(codeOf(windowFromJson({ ...json, labels }))).toBe('window.inconsistent')
  })

  it('drops the least and the greatest value, which former devices told', () => {
    const json = emptyWindow(shape)
    const told = { ...json, features: json.features.map((one) => ({ ...one, min: 0.1, max: 2 })) }
    expect(unwrap(windowFromJson(told))).toEqual(json)
    const wire = windowToWire(json)
    const [binCount, ...rest] = (wire[6] as unknown[][])[0]!
    const former = [binCount, ...rest.slice(0, -1), Uint8Array.of(63, 128, 0, 0, 64, 0, 0, 0)]
    const others = (wire[6] as unknown[][]).slice(1)
    expect(unwrap(windowFromWire(wire.with(6, [former, ...others])))).toEqual(json)
  })

  it('is refused, never thrown at, whatever stands in its positions', () => {
    const wire = windowToWire(emptyWindow(shape))
    const anything = fc.oneof(fc.anything(), fc.uint8Array(), fc.array(fc.anything()))
    fc.assert(
      fc.property(fc.nat(wire.length - 1), anything, (position, garbage) => {
        const result = windowFromWire(wire.with(position, garbage))
        if (!result.ok) expect(result.error.code).toMatch(/^(window|counts)\./)
      }),
    )
    expect(codeOf(windowFromWire('nonsense'))).toBe('window.malformed')
    expect(codeOf(windowFromWire([2, ...wire.slice(1)]))).toBe('window.malformed')
  })

  it('is refused when it was counted for another release', () => {
    const window = emptyWindow(shape)
    expect(checkWindowShape(window, shape)).toMatchObject({ ok: true })
    for (const foreign of [
      { ...window, shape: '0'.repeat(16) },
      { ...window, features: [] },
    ]) {
      expect(codeOf(checkWindowShape(foreign, shape))).toBe('window.shape_mismatch')
    }
  })
})

describe('the size of a minute', () => {
  it('of 60 requests with four features is less than half of JSON, and under 300 bytes', () => {
    const random = createPrng('a minute')
    const row = () => Array.from({ length: 4 }, () => random.normal())
    const reference = unwrap(
      buildReference(Array.from({ length: 2000 }, row), ['rms_x', 'rms_y', 'rms_z', 'crest']),
    )
    const classes = { tensor: 'scores', names: ['still', 'healthy', 'imbalance', 'bearing'] }
    const minute = windowShape({
      serviceLevels: {
        latencyMsMax: 20,
        latencyBadShareMax: 1,
        errorRateMax: 1,
        qualityDropMax: 1,
      },
      reference,
      classes,
    })
    const window = emptyWindow(minute)
    for (let i = 0; i < 60; i++) {
      const compute = 4 * Math.exp(0.15 * random.normal())
      recordRequest(window, minute, {
        latencyMs: { queue: 0.02, input: 0.1, compute, output: 0.05, total: compute + 0.17 },
        features: row(),
        prediction: { classIndex: random.below(4), confidence: 0.9 + 0.1 * random.unit() },
      })
    }
    const cborBytes = encode(windowToWire(window)).length
    const jsonBytes = JSON.stringify(window).length
    expect(cborBytes).toBeLessThan(300)
    expect(cborBytes).toBeLessThan(jsonBytes / 2)
  })
})
