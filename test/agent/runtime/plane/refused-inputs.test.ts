/** What is wrong with requests is counted by reason and input, and ranges of the manifest hold. */
import { describe, expect, it } from 'vitest'
import type { InferRequest, ReleaseStatistics } from '../../../../agent/data-plane.ts'
import { createStatisticsTable } from '../../../../agent/runtime/plane/release-statistics.ts'
import { modelStatistics } from '../../../../agent/serve/metadata.ts'
import { metricsText } from '../../../../agent/serve/metrics.ts'
import { ok } from '../../../../shared/kernel/result.ts'
import { type Manifest, rangeSchema } from '../../../../shared/model/manifest.ts'
import type { TensorSpec } from '../../../../shared/model/tensor.ts'
import { type TensorValue, toHalf } from '../../../../shared/model/tensor-value.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../plane-builder.ts'

const x = (...values: number[]): TensorValue => ({
  ...{ name: 'x', datatype: 'FP32', shape: [1, values.length] },
  data: Float32Array.from(values),
})
const feature = (name: string, offset: number): Manifest['features'][number] => ({
  ...{ name, tensor: 'x', reduce: 'element', offset, count: 0 },
})

function planeOf(manifest: Partial<Manifest> = {}, inputs?: readonly TensorSpec[]): BuiltPlane {
  const plane = buildPlane()
  plane.put(buildLive(() => SCORES(0.9, 0.1), { manifest, ...(inputs && { inputs }) }))
  return plane
}

const ask = (plane: BuiltPlane, inputs: readonly TensorValue[], more: Partial<InferRequest> = {}) =>
  plane.infer({ model: 'tiny', inputs, arrivedAtMs: performance.now(), ...more }, () => ok('done'))
const counted = (plane: BuiltPlane): ReleaseStatistics | undefined => plane.statistics()[0]

describe('A refused request', () => {
  it.each<[string, readonly TensorValue[], string, string]>([
    ['an unknown input', [{ ...x(1, 2), name: 'their "own"' }], 'unknown_input', ''],
    ['an input given twice', [x(1, 2), x(1, 2)], 'given_twice', 'x'],
    ['another datatype', [{ ...x(1, 2), datatype: 'FP64' }], 'datatype', 'x'],
    ['another shape', [x(1, 2, 3)], 'shape', 'x'],
    ['a missing input', [], 'missing', 'x'],
    ['what is not finite', [x(1, Number.NaN)], 'not_finite', 'x'],
    ['a value outside a range that refuses', [x(1, 11)], 'range', 'x'],
  ])('is counted for %s', async (_, inputs, reason, name) => {
    const plane = planeOf({
      finiteInputs: ['x'],
      ranges: [{ input: 'x', max: 10, outside: 'refuse' }],
    })
    expect(await ask(plane, inputs)).toMatchObject({ error: { code: 'infer.invalid_input' } })
    await ask(plane, inputs)
    expect(counted(plane)).toMatchObject({
      ...{ answered: 0, refused: [{ reason, name, count: 2 }] },
      errors: { internal: 0, invalid_output: 0, overloaded: 0 },
    })
    expect(plane.flush()).toEqual([])
  })

  it('is told by metrics and statistics, with names written as each of them asks', async () => {
    const name = 'a"b\\c\nd'
    const plane = planeOf({}, [{ name, datatype: 'FP32', shape: ['n', 2] }])
    await ask(plane, [])
    await ask(plane, [{ ...x(1, 2), name }], { outputs: ['nothing'] })
    const release = 'model="tiny",version="1.0.0"'
    expect(metricsText(plane).split('\n')).toEqual(
      expect.arrayContaining([
        `linnet_inference_refused{${release},reason="missing",name="a\\"b\\\\c\\nd"} 1`,
        `linnet_inference_refused{${release},reason="unknown_output",name=""} 1`,
      ]),
    )
    expect(modelStatistics(plane.statistics()).model_stats[0]).toMatchObject({
      linnet_refused: { missing: { [name]: 1 }, unknown_output: { '': 1 } },
    })
  })

  it('is counted without its name beyond 256 of them', () => {
    const table = createStatisticsTable()
    for (let i = 0; i < 300; i++) table.refusedInput('tiny', '1', 'missing', `input-${i}`)
    const refused = table.all()[0]?.refused ?? []
    expect(refused).toHaveLength(257)
    expect(refused.at(-1)).toEqual({ reason: 'missing', name: '', count: 44 })
  })
})

describe('A range of the manifest', () => {
  it('counts a request by input and by feature, once each, and answers it', async () => {
    const plane = planeOf({
      features: [feature('left', 0), feature('right', 1)],
      ranges: [
        { input: 'x', min: 0, max: 10, outside: 'count' },
        { feature: 'left', min: 0, outside: 'count' },
        { feature: 'right', max: 5, outside: 'count' },
      ],
    })
    for (const inputs of [x(-1, -2), x(0, 10), x(3, 4)]) {
      expect(await ask(plane, [inputs])).toMatchObject({ ok: true })
    }
    expect(counted(plane)).toMatchObject({
      ...{ answered: 3, refused: [] },
      outsideRange: [
        { name: 'x', count: 1 },
        { name: 'left', count: 1 },
        { name: 'right', count: 1 },
      ],
    })
    expect(metricsText(plane)).toContain(
      'linnet_input_outside_range{model="tiny",version="1.0.0",name="right"} 1\n',
    )
    expect(modelStatistics(plane.statistics()).model_stats[0]).toMatchObject({
      linnet_outside_range: { x: 1, left: 1, right: 1 },
    })
  })

  it('refuses with what was expected and found', async () => {
    const plane = planeOf({
      features: [feature('left', 0)],
      ranges: [
        { input: 'x', min: -5, max: 10, outside: 'refuse' },
        { feature: 'left', min: 0, outside: 'refuse' },
      ],
    })
    expect(await ask(plane, [x(1, 10.5)])).toMatchObject({
      error: {
        message: 'Input "x" has a value outside its range.',
        expected: 'at least -5, at most 10',
        found: '10.5 at element 1',
      },
    })
    expect(await ask(plane, [x(-1, 1)])).toMatchObject({
      error: {
        message: 'Feature "left" of the inputs is outside its range.',
        expected: 'at least 0',
        found: '-1',
      },
    })
    expect(await ask(plane, [x(0, -5)])).toMatchObject({ ok: true })
  })

  it.each<[TensorSpec['datatype'], TensorValue['data']]>([
    ['FP16', Uint16Array.of(toHalf(1), toHalf(9))],
    ['INT64', BigInt64Array.of(1n, 9n)],
    ['UINT8', Uint8Array.of(1, 9)],
  ])('reads %s as the numbers that they are', async (datatype, data) => {
    const plane = planeOf({ ranges: [{ input: 'x', max: 8, outside: 'refuse' }] }, [
      { name: 'x', datatype, shape: ['n', 2] },
    ])
    expect(await ask(plane, [{ name: 'x', datatype, shape: [1, 2], data }])).toMatchObject({
      error: { found: '9 at element 1' },
    })
  })

  it('is for what is a number, and is of an input or of a feature', async () => {
    const plane = planeOf({ ranges: [{ input: 'x', max: 8, outside: 'refuse' }] })
    expect(await ask(plane, [x(Number.NaN, 8)])).toMatchObject({ ok: true })
    const range = { min: 1, outside: 'count' }
    expect(rangeSchema.safeParse({ ...range, input: 'x' }).success).toBe(true)
    expect(rangeSchema.safeParse({ ...range, input: 'x', feature: 'y' }).success).toBe(false)
    expect(rangeSchema.safeParse(range).success).toBe(false)
    expect(rangeSchema.safeParse({ ...range, feature: 'y', max: 0 }).success).toBe(false)
  })
})
