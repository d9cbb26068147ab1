/**
 * Running totals per release since the host started, for the statistics route and Prometheus. Apart
 * from the windows: these count forced requests too, and are never reset or sent.
 */
import { createLatencyHistogram, recordLatency } from '../../../shared/sketch/latency-histogram.ts'
import { byKey, ERROR_KINDS, LATENCY_PARTS } from '../../../shared/sketch/window.ts'
import type { RequestSample } from '../../../shared/sketch/window-record.ts'
import type {
  BatchStatistics,
  FlawReason,
  RefusedCount,
  ReleaseStatistics,
} from '../../data-plane.ts'
import { countTogether } from './count-together.ts'
import type { RunPart } from './request-runner.ts'

/** Releases that were served since the start; the oldest is forgotten first. */
const RELEASES_MAX = 64

export interface StatisticsTable {
  /** @param run that the request was part of; undefined: none came to its end. */
  record(model: string, version: string, sample: RequestSample, run: RunPart | undefined): void
  /** A request over the rate that the policy allows: no arm's, so told with `current`. */
  refused(model: string, version: string): void
  /** A request that is wrong in itself: no arm's, so told with the release that would answer it. */
  refusedInput(model: string, version: string, reason: FlawReason, name: string): void
  /** A request that is taken with such a value; by input or feature. */
  outsideRange(model: string, version: string, name: string): void
  /** A shadow run of this candidate that gave way. */
  shadowDropped(model: string, version: string): void
  all(): readonly ReleaseStatistics[]
}

/** Sizes of runs that are told apart; runs of further sizes are in the totals only. */
const BATCH_SIZES_MAX = 64
/** Reasons and names that are told apart; further ones are counted without their name. */
const NAMES_MAX = 256

interface Batch {
  readonly rows: number
  executions: number
  readonly latencySumMs: Record<keyof BatchStatistics['latencySumMs'], number>
}

type Counted<T> = Omit<T, 'count'> & { count: number }

type Totals = { -readonly [K in keyof ReleaseStatistics]: ReleaseStatistics[K] } & {
  batches: Batch[]
  refused: Counted<RefusedCount>[]
  outsideRange: Counted<ReleaseStatistics['outsideRange'][number]>[]
  errors: Record<keyof ReleaseStatistics['errors'], number>
  latencySumMs: Record<keyof ReleaseStatistics['latencySumMs'], number>
  outcomeSumMs: Record<keyof ReleaseStatistics['outcomeSumMs'], number>
}

interface Told {
  readonly model: string
  readonly version: string
  readonly sample: RequestSample
  readonly run: RunPart | undefined
  readonly atMs: number
}

/** Of a release that nobody has asked yet. */
export function emptyStatistics(model: string, version: string): Totals {
  return {
    ...{ model, version, answered: 0, inferences: 0, executions: 0, rateLimited: 0, lastAtMs: 0 },
    ...{ batches: [], refused: [], outsideRange: [], shadowDropped: 0 },
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

  const told = countTogether<Told>(({ model, version, sample, run, atMs }) => {
    const totals = totalsOf(model, version)
    totals.lastAtMs = atMs
    recordRequest(totals, sample, run)
  })

  return {
    record(model, version, sample, run) {
      told.add({ model, version, sample, run, atMs: Date.now() })
    },
    refused(model, version) {
      told.settle()
      totalsOf(model, version).rateLimited += 1
    },
    refusedInput(model, version, reason, name) {
      told.settle()
      const rows = totalsOf(model, version).refused
      const isOf = (of: string) => (row: RefusedCount) => row.reason === reason && row.name === of
      countNamed(rows, name, isOf, (of) => ({ reason, name: of, count: 0 }))
    },
    outsideRange(model, version, name) {
      told.settle()
      const rows = totalsOf(model, version).outsideRange
      const isOf = (of: string) => (row: { readonly name: string }) => row.name === of
      countNamed(rows, name, isOf, (of) => ({ name: of, count: 0 }))
    },
    shadowDropped(model, version) {
      told.settle()
      totalsOf(model, version).shadowDropped += 1
    },
    all() {
      told.settle()
      return [...table.values()]
    },
  }
}

/** Names are those of a manifest, which may have more than are worth a row. */
function countNamed<T extends { count: number }>(
  rows: T[],
  name: string,
  isOf: (name: string) => (row: T) => boolean,
  fresh: (name: string) => T,
): void {
  const named = rows.length < NAMES_MAX || rows.some(isOf(name)) ? name : ''
  let row = rows.find(isOf(named))
  if (row === undefined) {
    row = fresh(named)
    rows.push(row)
  }
  row.count += 1
}

function recordRequest(
  totals: Totals,
  { error, latencyMs }: RequestSample,
  run: RunPart | undefined,
): void {
  if (run !== undefined) recordRun(totals, latencyMs, run)
  const { total, input = 0, queue = 0, compute = 0 } = latencyMs
  const tookMs = total ?? input + queue + compute
  if (error !== undefined) {
    totals.errors[error] += 1
    totals.outcomeSumMs.failed += tookMs
    return
  }
  totals.answered += 1
  totals.inferences += run?.rows ?? 1
  totals.outcomeSumMs.answered += tookMs
  for (const part of LATENCY_PARTS) {
    const valueMs = latencyMs[part]
    if (valueMs === undefined) continue
    recordLatency(totals.latency[part], valueMs)
    totals.latencySumMs[part] += valueMs
  }
}

function recordRun(
  totals: Totals,
  { input = 0, compute = 0, output = 0 }: RequestSample['latencyMs'],
  { leads, runRows }: RunPart,
): void {
  if (leads) totals.executions += 1
  const batch = batchOf(totals.batches, runRows)
  if (batch === undefined) return
  // Each request was read and written for itself; the run was one for all of them.
  batch.latencySumMs.input += input
  batch.latencySumMs.output += output
  if (!leads) return
  batch.executions += 1
  batch.latencySumMs.compute += compute
}

function batchOf(batches: Batch[], rows: number): Batch | undefined {
  const found = batches.find((batch) => batch.rows === rows)
  if (found !== undefined || batches.length >= BATCH_SIZES_MAX) return found
  const fresh = { rows, executions: 0, latencySumMs: { input: 0, compute: 0, output: 0 } }
  batches.push(fresh)
  return fresh
}
