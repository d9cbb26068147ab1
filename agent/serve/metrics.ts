/**
 * Prometheus text exposition (format 0.0.4) with the names and meanings that dashboards for Triton
 * know; errors by kind are ours.
 */
import { ERROR_KINDS, type ErrorKind, type LatencyPart } from '../../shared/sketch/window.ts'
import type { DataPlane, ReleaseStatistics } from '../data-plane.ts'
import { statisticsRows } from './metadata.ts'

type Row = ReleaseStatistics
const US_PER_MS = 1000

const sumUs =
  (part: LatencyPart) =>
  (row: Row): number =>
    Math.round(row.latencySumMs[part] * US_PER_MS)

const COUNTERS: readonly (readonly [name: string, help: string, value: (row: Row) => number])[] = [
  ['nv_inference_request_success', 'Answered requests', (row) => row.answered],
  ['nv_inference_count', 'Inferences, a batch as many as it has rows', (row) => row.inferences],
  ['nv_inference_exec_count', 'Runs, a batch as one', (row) => row.executions],
  [
    'linnet_inference_rate_limited',
    'Requests over the rate that the policy of the release allows',
    (row) => row.rateLimited,
  ],
  [
    'linnet_shadow_dropped',
    'Shadow runs of a candidate that gave way to served ones',
    (row) => row.shadowDropped,
  ],
  ['nv_inference_request_duration_us', 'Sum of total latency of answered requests', sumUs('total')],
  ['nv_inference_queue_duration_us', 'Sum of time in line', sumUs('queue')],
  ['nv_inference_compute_input_duration_us', 'Sum of decoding time', sumUs('input')],
  ['nv_inference_compute_infer_duration_us', 'Sum of compute time', sumUs('compute')],
  ['nv_inference_compute_output_duration_us', 'Sum of encoding time', sumUs('output')],
]

/** What Triton calls the reasons of a failure, of our kinds of errors. */
const REASONS: Readonly<Record<string, readonly ErrorKind[]>> = {
  // Its time passed, or would have passed, in the line or after it.
  REJECTED: ['timeout', 'overloaded'],
  CANCELED: ['cancelled'],
  BACKEND: ['internal', 'crashed'],
  OTHER: ['invalid_output'],
}

/** Of the whole text, whoever writes it. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export interface Metric {
  readonly name: string
  readonly kind: 'gauge' | 'counter'
  readonly help: string
  readonly rows: readonly {
    readonly labels: Readonly<Record<string, string>>
    readonly value: number
  }[]
}

/** @param more what the host tells of itself. */
export function metricsText(
  plane: Pick<DataPlane, 'releases' | 'statistics' | 'queued'>,
  more: readonly Metric[] = [],
): string {
  const rows = statisticsRows(plane)
  const lines = COUNTERS.flatMap(([name, help, value]) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} counter`,
    ...rows.map((row) => `${name}{${labels(row)}} ${value(row)}`),
  ])
  lines.push(
    '# HELP nv_inference_request_failure Requests without a valid answer',
    '# TYPE nv_inference_request_failure counter',
    ...rows.flatMap(failures),
  )
  lines.push(
    '# HELP linnet_inference_errors Errors by kind',
    '# TYPE linnet_inference_errors counter',
  )
  for (const row of rows) {
    for (const kind of ERROR_KINDS) {
      lines.push(`linnet_inference_errors{${labels(row)},kind="${kind}"} ${row.errors[kind]}`)
    }
  }
  lines.push(...inputCounts(rows))
  lines.push(
    '# HELP nv_inference_pending_request_count Requests in line',
    '# TYPE nv_inference_pending_request_count gauge',
    ...rows.map((row) => `nv_inference_pending_request_count{${labels(row)}} ${plane.queued(row)}`),
  )
  for (const { name, kind, help, rows: values } of more) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`)
    for (const { labels: named, value } of values) {
      const text = Object.entries(named).map(([key, of]) => `${key}="${of}"`)
      lines.push(`${name}${text.length === 0 ? '' : `{${text.join(',')}}`} ${value}`)
    }
  }
  return `${lines.join('\n')}\n`
}

function failures(row: Row): string[] {
  return Object.entries(REASONS).map(([reason, kinds]) => {
    const count = kinds.reduce((sum, kind) => sum + row.errors[kind], 0)
    return `nv_inference_request_failure{${labels(row)},reason="${reason}"} ${count}`
  })
}

/** A series for each reason and input that was ever refused, and for each range that was left. */
function inputCounts(rows: readonly Row[]): string[] {
  return [
    '# HELP linnet_inference_refused Requests refused for their inputs, by reason and input',
    '# TYPE linnet_inference_refused counter',
    ...rows.flatMap((row) =>
      row.refused.map(({ reason, name, count }) => {
        const labelled = `${labels(row)},reason="${reason}",name="${escaped(name)}"`
        return `linnet_inference_refused{${labelled}} ${count}`
      }),
    ),
    '# HELP linnet_input_outside_range Requests taken with values outside a range of the manifest',
    '# TYPE linnet_input_outside_range counter',
    ...rows.flatMap((row) =>
      row.outsideRange.map(
        ({ name, count }) =>
          `linnet_input_outside_range{${labels(row)},name="${escaped(name)}"} ${count}`,
      ),
    ),
  ]
}

/** Tensors may be called anything. Source: Prometheus, "Exposition formats", label values. */
const escaped = (name: string): string =>
  name.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

/** Names and versions are checked by their schemas and need no escaping. */
const labels = ({ model, version }: Row): string => `model="${model}",version="${version}"`
