/** What /metrics and the statistics say after requests of every outcome, on a clock of the test. */
import { describe, expect, it } from 'vitest'
import { modelStatistics } from '../../../agent/serve/metadata.ts'
import { metricsText } from '../../../agent/serve/metrics.ts'
import { ok, type Result } from '../../../shared/kernel/result.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../runtime/plane-builder.ts'

interface Asking {
  /** What the run of the model takes, and what comes of it. */
  readonly computeMs: number
  readonly deadlineMs?: number
  readonly outcome?: 'fails' | 'nan' | 'gone'
}

/** A plane whose model runs as long as the request says; every request is read in 2 ms. */
function planeOf() {
  let nowMs = 0
  let next: Asking = { computeMs: 0 }
  const plane = buildPlane({ nowMs: () => nowMs })
  plane.put(
    buildLive(() => {
      nowMs += next.computeMs
      if (next.outcome === 'fails') throw new Error('out of memory')
      return SCORES(next.outcome === 'nan' ? Number.NaN : 0.25, 0.75)
    }),
  )
  async function ask(asking: Asking): Promise<Result<string>> {
    next = asking
    const arrivedAtMs = nowMs
    nowMs += 2
    const answered = await plane.infer(
      {
        ...{ model: 'tiny', arrivedAtMs, deadlineMs: asking.deadlineMs },
        inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: new Float32Array(2) }],
        isGone: () => asking.outcome === 'gone',
      },
      ({ version }) => {
        nowMs += 1
        return ok(version)
      },
    )
    return answered
  }
  return { plane, ask }
}

/** Two answers of 2 + 10 + 1 and 2 + 20 + 1 ms, and one request of each other outcome. */
async function asked(): Promise<BuiltPlane> {
  const { plane, ask } = planeOf()
  await ask({ computeMs: 10 })
  await ask({ computeMs: 20 })
  await ask({ computeMs: 30, outcome: 'fails' })
  await ask({ computeMs: 40, deadlineMs: 35 })
  await ask({ computeMs: 50, outcome: 'nan' })
  await ask({ computeMs: 60, outcome: 'gone' })
  return plane
}

describe('The meanings of Triton', () => {
  it('are those of its metrics: durations are of answered requests alone', async () => {
    const plane = await asked()
    const release = 'model="tiny",version="1.0.0"'
    const told = metricsText(plane)
      .split('\n')
      .filter((line) => line.startsWith('nv_'))
    expect(told).toEqual([
      `nv_inference_request_success{${release}} 2`,
      `nv_inference_count{${release}} 2`,
      // A run that came too late, or gave no number, was one all the same.
      `nv_inference_exec_count{${release}} 4`,
      `nv_inference_request_duration_us{${release}} 36000`,
      `nv_inference_queue_duration_us{${release}} 0`,
      `nv_inference_compute_input_duration_us{${release}} 4000`,
      `nv_inference_compute_infer_duration_us{${release}} 30000`,
      `nv_inference_compute_output_duration_us{${release}} 2000`,
      `nv_inference_request_failure{${release},reason="REJECTED"} 1`,
      `nv_inference_request_failure{${release},reason="CANCELED"} 1`,
      `nv_inference_request_failure{${release},reason="BACKEND"} 1`,
      `nv_inference_request_failure{${release},reason="OTHER"} 1`,
      `nv_inference_pending_request_count{${release}} 0`,
    ])
  })

  it('are those of its statistics: a duration over its count is a mean', async () => {
    const [row] = modelStatistics((await asked()).statistics()).model_stats
    expect(row?.inference_stats).toMatchObject({
      success: { count: 2, ns: 36e6 },
      fail: { count: 4, ns: 32e6 + 42e6 + 53e6 + 2e6 },
      queue: { count: 2, ns: 0 },
      compute_input: { count: 2, ns: 4e6 },
      compute_infer: { count: 2, ns: 30e6 },
      compute_output: { count: 2, ns: 2e6 },
    })
  })

  it('tell who waits by model and version', async () => {
    const plane = buildPlane()
    plane.put(buildLive(() => SCORES(0, 1)))
    const one = {
      ...{ model: 'tiny', arrivedAtMs: plane.nowMs() },
      inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [1, 2], data: new Float32Array(2) }],
    }
    const answers = [1, 2, 3].map(() => plane.infer(one, () => ok(undefined)))
    const gauge = 'nv_inference_pending_request_count{model="tiny",version="1.0.0"}'
    expect(metricsText(plane)).toContain(`${gauge} 3\n`)
    expect(plane.queued({ model: 'tiny', version: '2.0.0' })).toBe(0)
    await Promise.all(answers)
    expect(metricsText(plane)).toContain(`${gauge} 0\n`)
  })

  it('are written as Prometheus reads them: each family is typed once, then its series', async () => {
    const lines = metricsText(await asked(), [
      { name: 'own', kind: 'gauge', help: 'Of the host', rows: [{ labels: {}, value: 7 }] },
    ]).split('\n')
    expect(lines.at(-1)).toBe('')
    expect(lines.slice(-4, -1)).toEqual(['# HELP own Of the host', '# TYPE own gauge', 'own 7'])
    let family = ''
    const families: string[] = []
    for (const line of lines.slice(0, -1)) {
      const typed = /^# TYPE (\w+) (?:counter|gauge)$/.exec(line)
      if (typed !== null) {
        family = typed[1]!
        families.push(family)
      } else if (!line.startsWith('# HELP ')) expect(line).toMatch(new RegExp(`^${family}[ {]`))
    }
    expect(new Set(families).size).toBe(families.length)
  })
})
