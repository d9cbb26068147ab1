/**
 * Running totals per release since the host started, for the statistics route and Prometheus. Apart
 * from the windows: these count forced requests too, and are never reset or sent.
 */
import { createLatencyHistogram, recordLatency } from '../../../shared/sketch/latency-histogram.ts'
import { byKey, ERROR_KINDS, LATENCY_PARTS } from '../../../shared/sketch/window.ts'
import type { RequestSample } from '../../../shared/sketch/window-record.ts'
import type { ReleaseStatistics } from '../../data-plane.ts'

/** Releases that were served since the start; the oldest is forgotten first. */
const RELEASES_MAX = 64

export interface StatisticsTable {
  /** @param leads whether a run of the model is counted with this request. */
  record(model: string, version: string, sample: RequestSample, leads: boolean): void
  /** A request over the rate that the policy allows: no arm's, so told with `current`. */
  refused(model: string, version: string): void
  all(): readonly ReleaseStatistics[]
}

type Totals = { -readonly [K in keyof ReleaseStatistics]: ReleaseStatistics[K] } & {
  errors: Record<keyof ReleaseStatistics['errors'], number>
  latencySumMs: Record<keyof ReleaseStatistics['latencySumMs'], number>
  outcomeSumMs: Record<keyof ReleaseStatistics['outcomeSumMs'], number>
}

/** Of a release that nobody has asked yet. */
export function emptyStatistics(model: string, version: string): Totals {
  return {
    ...{ model, version, answered: 0, executions: 0, rateLimited: 0, lastAtMs: 0 },
    errors: byKey(ERROR_KINDS, () => 0),
    latency: byKey(LATENCY_PARTS, createLatencyHistogram),
    latencySumMs: byKey(LATENCY_PARTS, () => 0),
    outcomeSumMs: { answered: 0, failed: 0 },
  }
}

export function createStatisticsTable(): StatisticsTable {
  const table = new Map<string, Totals>()

  function totalsOf(model: string, version: string): Totals {
    const key = `${model}@${version}`
    const found = table.get(key)
    if (found !== undefined) return found
    const oldest = table.keys().next()
    if (table.size >= RELEASES_MAX && !oldest.done) table.delete(oldest.value)
    const fresh = emptyStatistics(model, version)
    table.set(key, fresh)
    return fresh
  }

  return {
    record(model, version, { error, latencyMs }, leads) {
      const totals = totalsOf(model, version)
      totals.lastAtMs = Date.now()
      if (leads) totals.executions += 1
      if (error === undefined) totals.answered += 1
      else totals.errors[error] += 1
      const { total, input = 0, queue = 0, compute = 0 } = latencyMs
      const outcome = error === undefined ? 'answered' : 'failed'
      totals.outcomeSumMs[outcome] += total ?? input + queue + compute
      for (const part of LATENCY_PARTS) {
        const valueMs = latencyMs[part]
        if (valueMs === undefined) continue
        recordLatency(totals.latency[part], valueMs)
        totals.latencySumMs[part] += valueMs
      }
    },
    refused(model, version) {
      totalsOf(model, version).rateLimited += 1
    },
    all: () => [...table.values()],
  }
}
