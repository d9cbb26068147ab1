import { describe, expect, it } from 'vitest'
import type { InferRequest } from '../../../../agent/data-plane.ts'
import { modelStatistics } from '../../../../agent/serve/metadata.ts'
import { metricsText } from '../../../../agent/serve/metrics.ts'
import { ok } from '../../../../shared/kernel/result.ts'
import type { TensorValue } from '../../../../shared/model/tensor-value.ts'
import { type BuiltPlane, buildLive, buildPlane, type Compute } from '../plane-builder.ts'

const BATCHING = {
  rowsMax: 4,
  layout: { inputs: { x: 0 }, outputs: { scores: 0 } },
}

/** Scores are each row's own first value, and the rows of each run are noted. */
function summing(runs: number[], fails: (first: number) => boolean = () => false): Compute {
  return ([x]) => {
    const rows = x?.shape[0] ?? 0
    const firsts = Array.from({ length: rows }, (_, i) => Number(x?.data[2 * i]))
    runs.push(rows)
    if (firsts.some(fails)) return Promise.reject(new Error('kernel failed'))
    const data = Float32Array.from(firsts.flatMap((first) => [first, 1 - first]))
    return [{ name: 'scores', datatype: 'FP32', shape: [rows, 2], data }]
  }
}

function ask(plane: BuiltPlane, first: number, more: Partial<InferRequest> = {}) {
  const x: TensorValue = {
    name: 'x',
    datatype: 'FP32',
    shape: [1, 2],
    data: Float32Array.of(first, 0),
  }
  const request = { model: 'tiny', inputs: [x], arrivedAtMs: performance.now(), ...more }
  return plane.infer(request, ({ version, outputs }) => ok([version, outputs[0]?.data[0]]))
}
const asked = (plane: BuiltPlane, count: number) =>
  Promise.all(Array.from({ length: count }, (_, i) => ask(plane, i)))

describe('Requests of a release that may run together', () => {
  it('share runs and get each its own answer; a run is counted once', async () => {
    const plane = buildPlane()
    const runs: number[] = []
    plane.put(buildLive(summing(runs), { batching: BATCHING }))
    const answers = await asked(plane, 10)
    expect(answers).toEqual(Array.from({ length: 10 }, (_, i) => ok(['1.0.0', i])))
    expect(runs).toEqual([4, 4, 2])
    const [row] = plane.statistics()
    expect([row?.answered, row?.executions]).toEqual([10, 3])
    const window = plane.flush()[0]?.arms[0]?.window
    expect([window?.n, window?.latency.compute.counts.reduce((a, b) => a + b, 0)]).toEqual([10, 10])
  })

  it('count as inferences by their rows, and their runs by the rows in each', async () => {
    const plane = buildPlane()
    plane.put(
      buildLive(
        summing([], (first) => first === 9),
        { batching: BATCHING },
      ),
    )
    const rows = (n: number): TensorValue[] => [
      { name: 'x', datatype: 'FP32', shape: [n, 2], data: new Float32Array(2 * n) },
    ]
    // Runs of 3 + 1 and of 5 rows; then one that fails in company and is run alone, as its mate is.
    await Promise.all([3, 1, 5].map((n) => ask(plane, 0, { inputs: rows(n) })))
    await Promise.all([ask(plane, 9), ask(plane, 1)])
    const [row] = plane.statistics()
    expect(row).toMatchObject({ answered: 4, inferences: 10, executions: 3 })
    expect(row?.errors.internal).toBe(1)
    const told = modelStatistics(plane.statistics()).model_stats[0]
    expect(told).toMatchObject({ inference_count: 10, execution_count: 3 })
    expect(told?.batch_stats.map((each) => [each.batch_size, each.compute_infer.count])).toEqual([
      ...[
        [1, 1],
        [4, 1],
        [5, 1],
      ],
    ])
    const metrics = metricsText(plane)
    const labels = '{model="tiny",version="1.0.0"}'
    expect(metrics).toContain(`nv_inference_request_success${labels} 4\n`)
    expect(metrics).toContain(
      'nv_inference_request_failure{model="tiny",version="1.0.0",reason="BACKEND"} 1\n',
    )
    expect(metrics).toContain(`nv_inference_count${labels} 10\n`)
    expect(metrics).toContain(`nv_inference_exec_count${labels} 3\n`)
  })

  it('count as one inference each where no dimension is the batch', async () => {
    const plane = buildPlane()
    plane.put(buildLive(summing([]), { inputs: [{ name: 'x', datatype: 'FP32', shape: [3, 2] }] }))
    const x: TensorValue = { name: 'x', datatype: 'FP32', shape: [3, 2], data: new Float32Array(6) }
    await ask(plane, 0, { inputs: [x] })
    expect(plane.statistics()[0]).toMatchObject({ answered: 1, inferences: 1, executions: 1 })
  })

  it.each([
    ['asked for', ['b', 'a'], 'b a'],
    ['of the manifest', undefined, 'a b'],
  ])('have their outputs in the order %s, alone as in company', async (_, wanted, names) => {
    const outputs = ['a', 'b'].map((name) => ({ name, datatype: 'FP32' as const, shape: ['n', 2] }))
    const layout = { inputs: { x: 0 }, outputs: { a: 0, b: 0 } }
    const compute: Compute = ([x]) => ['b', 'a'].map((name) => ({ ...x!, name }))
    const plane = buildPlane()
    plane.put(buildLive(compute, { outputs, batching: { rowsMax: 4, layout } }))
    const x = { name: 'x', datatype: 'FP32' as const, shape: [1, 2], data: Float32Array.of(1, 2) }
    const one = () =>
      plane.infer(
        { model: 'tiny', inputs: [x], arrivedAtMs: performance.now(), outputs: wanted },
        (answer) => ok(answer.outputs.map(({ name }) => name).join(' ')),
      )
    expect(await one()).toEqual(ok(names))
    expect(await Promise.all([one(), one(), one(), one()])).toEqual(Array(4).fill(ok(names)))
    expect(plane.statistics()[0]?.executions).toBeLessThan(5)
  })

  it('run one by one where nothing was proved', async () => {
    const plane = buildPlane()
    const runs: number[] = []
    plane.put(buildLive(summing(runs)))
    await asked(plane, 5)
    expect(runs).toEqual([1, 1, 1, 1, 1])
  })

  it('are not put together with those of the other arm', async () => {
    const plane = buildPlane()
    const [runs, others]: number[][] = [[], []]
    const candidate = buildLive(summing(others!), { version: '1.1.0', batching: BATCHING })
    plane.put(buildLive(summing(runs!), { batching: BATCHING }), {
      candidate,
      trafficShare: 500_000,
    })
    const answers = await asked(plane, 12)
    const versions = answers.map((answer) => answer.ok && answer.value[0])
    const sum = (rows: number[]) => rows.reduce((a, b) => a + b, 0)
    expect(sum(runs!)).toBe(versions.filter((version) => version === '1.0.0').length)
    expect(sum(others!)).toBe(versions.filter((version) => version === '1.1.0').length)
    expect(Math.min(sum(runs!), sum(others!))).toBeGreaterThan(0)
  })

  it('do not fail because one of them does', async () => {
    const plane = buildPlane()
    const runs: number[] = []
    plane.put(
      buildLive(
        summing(runs, (first) => first === 2),
        { batching: BATCHING },
      ),
    )
    const answers = await asked(plane, 4)
    expect(answers.map((answer) => (answer.ok ? 'ok' : answer.error.code))).toEqual([
      ...['ok', 'ok', 'infer.failed', 'ok'],
    ])
    expect(runs).toEqual([4, 1, 1, 1, 1])
    expect(plane.flush()[0]?.arms[0]?.window).toMatchObject({ n: 4, errors: { internal: 1 } })
  })

  it('count their rows, and leave out what does not fit', async () => {
    const plane = buildPlane()
    const runs: number[] = []
    plane.put(buildLive(summing(runs), { batching: BATCHING }))
    const rows = (n: number): TensorValue[] => [
      { name: 'x', datatype: 'FP32', shape: [n, 2], data: new Float32Array(2 * n) },
    ]
    const sizes = [3, 2, 1, 5, 2]
    await Promise.all(sizes.map((n) => ask(plane, 0, { inputs: rows(n) })))
    expect(runs).toEqual([4, 4, 5])
  })

  it('take only the outputs they asked for', async () => {
    const plane = buildPlane()
    plane.put(buildLive(summing([]), { batching: BATCHING }))
    const both = await Promise.all([ask(plane, 1, { outputs: ['scores'] }), ask(plane, 2)])
    expect(both).toEqual([ok(['1.0.0', 1]), ok(['1.0.0', 2])])
  })
})
