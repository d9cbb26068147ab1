import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { featureDrift } from '../../../shared/drift/feature-drift.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import { emptyFeature, featureScale, recordFeatures } from '../../../shared/sketch/feature-bins.ts'
import {
  createLatencyHistogram,
  latencyQuantileMs,
  recordLatency,
} from '../../../shared/sketch/latency-histogram.ts'
import { buildReference } from '../../../shared/sketch/reference-profile.ts'

/** Windows [start, end) of rows, and distances that scipy computed from the raw values. */
interface Pair {
  name: string
  ref: [number, number]
  cur: [number, number]
  ks: number
  wasserstein1: number
}

const PAIRS: Pair[] = [
  {
    name: 'ec2_request_latency_system_failure',
    ref: [0, 2000],
    cur: [3000, 4032],
    ks: 0.11096124031007754,
    wasserstein1: 0.4665548062015505,
  },
  {
    name: 'machine_temperature_system_failure',
    ref: [2500, 6500],
    cur: [16_000, 18_000],
    ks: 0.51325,
    wasserstein1: 16.59143795981825,
  },
  {
    name: 'rogue_agent_key_hold',
    ref: [0, 900],
    cur: [1000, 1882],
    ks: 0.06081632653061231,
    wasserstein1: 0.0038937235184127164,
  },
]

const SERIES = new URL('../../../../shared/data/nab/realKnownCause/', import.meta.url)

function series(name: string): number[] {
  const [, ...rows] = readFileSync(new URL(`${name}.csv`, SERIES), 'utf8')
    .trim()
    .split('\n')
  return rows.map((row) => Number(row.split(',')[1]))
}

describe.skipIf(!existsSync(SERIES))('on ../shared/data (skipped if absent)', () => {
  it.each(PAIRS)('what the bins of $name certify holds for its raw values', (pair) => {
    const values = series(pair.name)
    const rows = values.slice(...pair.ref).map((value) => [value])
    const reference = unwrap(buildReference(rows, ['value']))[0]!
    const current = emptyFeature(reference.edges.length + 1)
    const scale = featureScale(reference)
    for (const value of values.slice(...pair.cur)) recordFeatures([current], [scale], [value])
    const drift = unwrap(featureDrift(reference, current))
    expect(drift.ks.lower).toBeLessThanOrEqual(pair.ks + 1e-12)
    expect(drift.ks.upper).toBeGreaterThanOrEqual(pair.ks)
    expect(drift.wasserstein.lower).toBeLessThanOrEqual(pair.wasserstein1 * (1 + 1e-6))
    if (drift.underShare + drift.overShare === 0) {
      expect(drift.wasserstein.upper).toBeGreaterThanOrEqual(pair.wasserstein1)
    }
    expect(drift.isDrifted).toBe(pair.name !== 'rogue_agent_key_hold')
  })

  it.each(PAIRS)('the p95 of $name is known to 1.09 %', (pair) => {
    const values = series(pair.name).slice(...pair.cur)
    const histogram = createLatencyHistogram()
    for (const value of values) recordLatency(histogram, value)
    const exact = values.toSorted((a, b) => a - b)[Math.ceil(0.95 * values.length) - 1]!
    expect(Math.abs(latencyQuantileMs(histogram, 0.95)! / exact - 1)).toBeLessThan(0.0109)
  })
})
