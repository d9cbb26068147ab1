/**
 * The metadata, index and statistics documents of the Open Inference Protocol v2 and of Triton's
 * extensions, from what the data plane says of itself. Pure.
 */
import { latencyTotal } from '../../shared/sketch/latency-histogram.ts'
import type { LatencyPart } from '../../shared/sketch/window.ts'
import type {
  BatchStatistics,
  DataPlane,
  RefusedCount,
  ReleaseStatistics,
  ReleaseStatus,
} from '../data-plane.ts'
import { emptyStatistics } from '../runtime/plane/release-statistics.ts'

const SERVER_VERSION = '0.1.0'
/** Durations in Triton's statistics are in nanoseconds. */
const NS_PER_MS = 1e6

/** @param name as the operator calls this server. */
export function serverMetadata(name = 'linnet') {
  return {
    name,
    version: SERVER_VERSION,
    extensions: [
      'binary_tensor_data',
      'classification',
      'model_configuration',
      'model_repository',
      'parameters',
      'schedule_policy',
      'sequence',
      'statistics',
      'linnet_feedback',
    ],
  }
}

/** Of the releases of one model, `current` first. */
export function modelMetadata(releases: readonly ReleaseStatus[]) {
  const [first] = releases
  return {
    name: first?.model,
    versions: releases.map(({ version }) => version),
    platform: 'onnxruntime_onnx',
    inputs: first?.inputs.map(wireSpec),
    outputs: first?.outputs.map(wireSpec),
  }
}

/** The protocol writes a free dimension as -1. */
function wireSpec({ name, datatype, shape }: ReleaseStatus['inputs'][number]) {
  return { name, datatype, shape: shape.map((size) => (typeof size === 'number' ? size : -1)) }
}

/** Of what serves, also where nobody asked yet, then of what served before. */
export function statisticsRows(
  plane: Pick<DataPlane, 'releases' | 'statistics'>,
): readonly ReleaseStatistics[] {
  const counted = plane.statistics()
  const isCounted = ({ model, version }: ReleaseStatus): boolean =>
    counted.some((row) => row.model === model && row.version === version)
  const silent = plane.releases().filter((release) => !isCounted(release))
  return [...counted, ...silent.map(({ model, version }) => emptyStatistics(model, version))]
}

const NONE = { count: 0, ns: 0 }

/** There is no cache of answers: it is never hit, and never missed. */
export function modelStatistics(statistics: readonly ReleaseStatistics[]) {
  return {
    model_stats: statistics.map((row) => {
      const failed = Object.values(row.errors).reduce((sum, count) => sum + count, 0)
      const outcomeNs = (outcome: 'answered' | 'failed'): number =>
        Math.round(row.outcomeSumMs[outcome] * NS_PER_MS)
      const duration = (part: LatencyPart) => ({
        count: latencyTotal(row.latency[part]),
        ns: Math.round(row.latencySumMs[part] * NS_PER_MS),
      })
      return {
        name: row.model,
        version: row.version,
        last_inference: row.lastAtMs,
        inference_count: row.inferences,
        execution_count: row.executions,
        linnet_rate_limited: row.rateLimited,
        linnet_refused: refusedByReason(row.refused),
        linnet_outside_range: Object.fromEntries(
          row.outsideRange.map(({ name, count }) => [name, count]),
        ),
        linnet_shadow_dropped: row.shadowDropped,
        inference_stats: {
          success: { count: row.answered, ns: outcomeNs('answered') },
          fail: { count: failed, ns: outcomeNs('failed') },
          queue: duration('queue'),
          compute_input: duration('input'),
          compute_infer: duration('compute'),
          compute_output: duration('output'),
          cache_hit: NONE,
          cache_miss: NONE,
        },
        batch_stats: row.batches.toSorted((a, b) => a.rows - b.rows).map(batchStatistics),
      }
    }),
  }
}

/** Requests by what was wrong with them, then by the input; an empty name: the model has no such one. */
function refusedByReason(rows: readonly RefusedCount[]) {
  const byReason = new Map<string, [string, number][]>()
  for (const { reason, name, count } of rows) {
    byReason.set(reason, [...(byReason.get(reason) ?? []), [name, count]])
  }
  return Object.fromEntries(
    [...byReason].map(([reason, counts]) => [reason, Object.fromEntries(counts)]),
  )
}

/** A run is counted once in each of its parts. */
function batchStatistics({ rows, executions: count, latencySumMs }: BatchStatistics) {
  const { input, compute, output } = latencySumMs
  const duration = (sumMs: number) => ({ count, ns: Math.round(sumMs * NS_PER_MS) })
  return {
    batch_size: rows,
    compute_input: duration(input),
    compute_infer: duration(compute),
    compute_output: duration(output),
  }
}
