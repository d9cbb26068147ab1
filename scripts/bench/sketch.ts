/**
 * `sketch`: what counting a request into its window costs, without features and for each declared
 * feature value. Best of many short rounds: what other programs take away is no cost of ours.
 */
import { unwrap } from '../../shared/kernel/result.ts'
import { buildReference } from '../../shared/sketch/reference-profile.ts'
import { emptyWindow, windowShape } from '../../shared/sketch/window.ts'
import { recordRequest } from '../../shared/sketch/window-record.ts'
import { type BenchReport, figure } from './report.ts'

const ROUNDS = 7
const TRIES = 40
const REQUESTS = 2_000
const FEATURES = 64
const ROWS = 2_000
const LATENCY_MS = [0.01, 0.02, 0.4, 0.03, 0.5, 0.9, 1.7, 6.1]

export async function run(): Promise<BenchReport> {
  const base: number[] = []
  const perFeature: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const without = best(0)
    base.push(without / 1000)
    perFeature.push((best(FEATURES) - without) / FEATURES)
  }
  return {
    bench: 'sketch',
    results: [
      figure({ case: 'no features', metric: 'us for a request', limit: 1 }, base),
      figure({ case: `${FEATURES} features`, metric: 'ns for a value', limit: 30 }, perFeature),
    ],
  }
}

/** @returns ns for a request. */
function best(featureCount: number): number {
  const names = Array.from({ length: featureCount }, (_, i) => `f${i}`)
  const rows = Array.from({ length: ROWS }, (_, i) => names.map(() => ((i * 7919) % ROWS) / ROWS))
  const reference = featureCount === 0 ? [] : unwrap(buildReference(rows, names))
  const shape = windowShape({
    ...{ reference, classes: { tensor: 'y', names: ['a', 'b', 'c', 'd'] } },
    serviceLevels: {
      ...{ latencyMsMax: 10, latencyBadShareMax: 0.1, errorRateMax: 0.01, qualityDropMax: 0.05 },
    },
  })
  const samples = LATENCY_MS.map((compute, i) => ({
    latencyMs: { input: 0.01, queue: 0.05, compute, output: 0.02, total: compute + 0.08 },
    features: names.map((_, at) => ((i * 131 + at * 17) % 1000) / 1000),
    prediction: { classIndex: i % 4, confidence: 0.7 },
  }))
  const window = emptyWindow(shape)
  let least = Infinity
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const startMs = performance.now()
    for (let i = 0; i < REQUESTS; i++) recordRequest(window, shape, samples[i % samples.length]!)
    least = Math.min(least, performance.now() - startMs)
  }
  return (least * 1e6) / REQUESTS
}
