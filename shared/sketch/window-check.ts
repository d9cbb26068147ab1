/**
 * The checks that every window from outside passes before it is merged: known fields only, bounded
 * lengths, whole counts, and totals that can be true together. They cannot tell whether a device
 * lies within those limits: the ingest knows the device, the judge leaves out the loudest.
 */
import { z } from 'zod'
import { ok, type Result, refuse } from '../kernel/result.ts'
import { confusionCells } from './confusion.ts'
import { trimCounts } from './count-run.ts'
import { featureTotal, QUANTA_MAX } from './feature-bins.ts'
import { LATENCY_BIN_COUNT } from './latency-histogram.ts'
import { LATENCY_PARTS, type Window, type WindowShape, windowSchema } from './window.ts'

/** Errors: `window.malformed`, `window.inconsistent`, `counts.*`. */
export function windowFromJson(value: unknown): Result<Window> {
  const parsed = windowSchema.safeParse(value)
  if (!parsed.success) {
    return refuse('window.malformed', 'The value is no telemetry window.', {
      found: z.prettifyError(parsed.error).slice(0, 300),
    })
  }
  const window = parsed.data
  for (const part of LATENCY_PARTS) {
    const { first, counts } = window.latency[part]
    const run = trimCounts(first, counts, LATENCY_BIN_COUNT)
    if (!run.ok) return run
    window.latency[part] = run.value
  }
  const problem = contradiction(window)
  if (problem === undefined) return ok(window)
  return refuse('window.inconsistent', 'The counts of the window contradict each other.', {
    found: problem,
  })
}

const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0)

/** What cannot be true of any window, as "part over whole", or undefined. */
function contradiction({ n, ...window }: Window): string | undefined {
  const { outputs, labels } = window
  const limits: readonly (readonly [string, number, number])[] = [
    ['errors over requests', total(Object.values(window.errors)), n],
    ['slow requests over timed requests', window.nBad.latency, total(window.latency.total.counts)],
    ...LATENCY_PARTS.map(
      (part) => [`${part} latencies over requests`, total(window.latency[part].counts), n] as const,
    ),
    ...window.features.flatMap((feature, i) => {
      const values = featureTotal(feature)
      const seen = values + feature.missing + feature.invalid
      const { deviation, deviationSquared } = feature
      return [
        [`values of feature ${i} over requests`, seen, n],
        [`deviation of feature ${i}`, Math.abs(deviation), values * QUANTA_MAX],
        [`squares of feature ${i}`, deviationSquared, values * QUANTA_MAX ** 2],
      ] as const
    }),
    ['predictions over requests', total(outputs.classCounts), n],
    ['confidences over requests', total(outputs.confidenceBins), n],
    ['disagreements over comparisons', outputs.shadowDisagreed, outputs.shadowCompared],
    ['correct over labelled', labels.correct, labels.labelled],
    ['confusion over labelled', total(labels.confusion), labels.labelled],
  ]
  const broken = limits.find(([, part, whole]) => part > whole)
  return broken && `${broken[0]}: ${broken[1]} > ${broken[2]}`
}

/**
 * Whether a valid window belongs to the release it claims: same shape, same number of everything.
 * Errors: `window.shape_mismatch`.
 */
export function checkWindowShape(window: Window, shape: WindowShape): Result<Window> {
  const fits =
    window.shape === shape.id &&
    window.outputs.classCounts.length === shape.classCount &&
    window.labels.confusion.length === confusionCells(shape.classCount) &&
    window.features.length === shape.features.length &&
    window.features.every(({ bins }, i) => bins.length === shape.features[i]!.edges.length + 1)
  if (fits) return ok(window)
  return refuse('window.shape_mismatch', 'The window was counted for another release.', {
    expected: `shape ${shape.id}`,
    found: `shape ${window.shape}`,
  })
}
