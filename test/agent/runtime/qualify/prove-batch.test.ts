import { describe, expect, it } from 'vitest'
import type { ModelSession } from '../../../../agent/runtime/model-session.ts'
import { proveBatching } from '../../../../agent/runtime/qualify/prove-batch.ts'
import type { GoldenVector } from '../../../../shared/model/golden.ts'
import type { Manifest } from '../../../../shared/model/manifest.ts'
import { bytesOf, type TensorValue } from '../../../../shared/model/tensor-value.ts'

type Tensors = Pick<Manifest, 'inputs' | 'outputs'>
type Rows = (rows: readonly number[][]) => number[][]

const spec = (name: string, shape: (number | string)[], more = {}) => ({
  name,
  datatype: 'FP32' as const,
  shape,
  ...more,
})
const FREE: Tensors = { inputs: [spec('x', ['', 3])], outputs: [spec('y', ['', 3])] }
const double: Rows = (rows) => rows.map((row) => row.map((value) => 2 * value))

/** A model of rows of three; a run costs `runMs` and `rowMs` for each row, by its own clock. */
function sessionOf(compute: Rows, { runMs = 1, rowMs = 0 } = {}) {
  let atMs = 0
  const session: ModelSession = {
    ...FREE,
    async run(inputs) {
      const { data, shape } = inputs[0]!
      const flat = [...(data as Float32Array)]
      const rows = Array.from({ length: shape[0]! }, (_, i) => flat.slice(3 * i, 3 * i + 3))
      const found = compute(rows)
      atMs += runMs + rowMs * rows.length
      const y = Float32Array.from(found.flat())
      return [{ name: 'y', datatype: 'FP32', shape: [found.length, 3], data: y }]
    },
    release: async () => undefined,
  }
  return { session, nowMs: () => atMs }
}

async function vectorsOf(session: ModelSession, count = 3): Promise<GoldenVector[]> {
  const golden = ({ name, shape, data }: TensorValue) => ({
    ...{ name, datatype: 'FP32' as const, shape },
    data: bytesOf(data as Float32Array),
  })
  const vectors: GoldenVector[] = []
  for (let i = 0; i < count; i++) {
    const data = Float32Array.of(i, i + 0.5, -i)
    const x: TensorValue = { name: 'x', datatype: 'FP32', shape: [1, 3], data }
    vectors.push({ inputs: [golden(x)], outputs: (await session.run([x])).map(golden) })
  }
  return vectors
}

async function prove(compute: Rows, times = {}, manifest: Tensors = FREE) {
  const { session, nowMs } = sessionOf(compute, times)
  const vectors = await vectorsOf(session)
  const tolerance = { absolute: 1e-4, relative: 1e-3 }
  return proveBatching(session, { manifest, tolerance, vectors, nowMs })
}

describe('The proof that requests may run together', () => {
  it('takes the batch that gains most, with the axes it was proved on', async () => {
    const { record, settings } = await prove(double)
    expect(record).toMatchObject({ chosen: 32, reason: '' })
    expect(record.tried.map(({ rows, differenceMax }) => [rows, differenceMax])).toEqual(
      [2, 4, 8, 16, 32].map((rows) => [rows, 0]),
    )
    expect(settings).toEqual({ rowsMax: 32, layout: { inputs: { x: 0 }, outputs: { y: 0 } } })
  })

  it('stays with single runs where a batch gains nothing', async () => {
    const { record, settings } = await prove(double, { runMs: 0, rowMs: 1 })
    expect(settings).toBeNull()
    expect(record).toMatchObject({ chosen: 1, reason: '1.00 times as fast', singleMs: 1 })
    expect(record.tried.map(({ msPerRequest }) => msPerRequest)).toEqual([1, 1, 1, 1, 1])
  })

  it('takes the smallest size that is about as fast as the fastest', async () => {
    // 1.25 ms alone, 1 + 0.25 / n for each of n.
    const { record } = await prove(double, { runMs: 0.25, rowMs: 1 })
    expect(record.chosen).toBe(16)
    expect(record.tried.map(({ msPerRequest }) => msPerRequest?.toFixed(3))).toEqual([
      ...['1.125', '1.063', '1.031', '1.016', '1.008'],
    ])
  })

  it('gives up on a model that is too slow to try, and tries no more than time allows', async () => {
    expect((await prove(double, { runMs: 900 })).record).toMatchObject({
      ...{ chosen: 1, reason: 'one request takes too long', tried: [] },
    })
    const { record } = await prove(double, { runMs: 90 })
    expect(record.tried.map(({ rows }) => rows)).toEqual([2])
    expect(record.chosen).toBe(2)
  })

  it('refuses a model whose rows see each other, with the measured difference', async () => {
    const centred: Rows = (rows) => {
      const mean = rows.flat().reduce((sum, value) => sum + value, 0) / (3 * rows.length)
      return rows.map((row) => row.map((value) => value - mean))
    }
    const { record, settings } = await prove(centred)
    expect(settings).toBeNull()
    expect(record.reason).toMatch(/^in a batch of 2: y\[\d\]: expected .* found /)
    expect(record.tried).toEqual([{ rows: 2, msPerRequest: null, differenceMax: null }])
  })

  it('refuses a scale over the whole batch, which only a loud companion shows', async () => {
    const quantised: Rows = (rows) => {
      const most = Math.max(...rows.flat().map((value) => Math.abs(value) || 0), 3)
      const step = most / 2 ** 15
      return rows.map((row) => row.map((value) => Math.round(value / step) * step))
    }
    expect((await prove(quantised)).record.reason).toMatch(/^beside a request of large values: /)
  })

  it('refuses a model in which NaN spreads to other rows', async () => {
    const masked: Rows = (rows) => {
      const leak = rows.flat().reduce((sum, value) => sum + value * 0, 0)
      return rows.map((row) => row.map((value) => value + leak))
    }
    expect((await prove(masked)).record.reason).toMatch(/^beside a request of NaN: /)
  })

  it('believes the manifest before the shapes, and proves what it says', async () => {
    const shared: Tensors = {
      inputs: [spec('x', ['', 3], { equal: true })],
      outputs: [spec('y', ['', 3])],
    }
    expect((await prove(double, {}, shared)).record.reason).toBe('no input has a free dimension')
    const wrongOutput: Tensors = { ...FREE, outputs: [spec('y', ['', 3], { batchAxis: 1 })] }
    expect((await prove(double, {}, wrongOutput)).record.reason).toBe(
      'output y grows along another dimension',
    )
    const half: Tensors = {
      ...FREE,
      inputs: [spec('x', ['', 3], { batchAxis: 0 }), spec('z', [''])],
    }
    expect((await prove(double, {}, half)).record.reason).toBe(
      'the manifest gives input z neither batchAxis nor equal',
    )
  })

  it('has nothing to try where all dimensions are fixed', async () => {
    const fixed: Tensors = { ...FREE, inputs: [spec('x', [1, 3])] }
    const { record, settings } = await prove(double, {}, fixed)
    expect(settings).toBeNull()
    expect(record).toEqual({
      ...{ chosen: 1, reason: 'no input has a free dimension', singleMs: 0, tried: [] },
    })
  })

  it('takes a model that fails on batches as one for single runs', async () => {
    const single: Rows = (rows) => {
      if (rows.length > 1) throw new Error('Reshape: 6 elements do not fit [1,3]')
      return [...rows]
    }
    const { record, settings } = await prove(single)
    expect(settings).toBeNull()
    expect(record.reason).toContain('Reshape: 6 elements')
  })
})
