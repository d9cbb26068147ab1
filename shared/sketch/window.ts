/**
 * The window: what one device counted for one release and one arm in one interval. It is a sum, so
 * windows merge exactly, in any order, over minutes and devices.
 *
 * Invariants: intention to treat, so `n` counts every request that drew the arm, answered or not;
 * whatever a decision needs is an exact count (`errors`, `nBad`, `labels`), never a quantile; only
 * windows of one shape merge. Who sent it, when, and whether it came twice is told by the envelope
 * and judged by the ingest.
 */
import { z } from 'zod'
import { ok, type Result, refuse } from '../kernel/result.ts'
import { sha256Hex } from '../kernel/sha256.ts'
import type { FeatureReference, Manifest } from '../model/manifest.ts'
import { CONFUSION_CLASSES_MAX, confusionCells } from './confusion.ts'
import type { CountNoise } from './count-noise.ts'
import { addRows, COUNT_MAX, mergeCounts } from './count-run.ts'
import {
  emptyFeature,
  type FeatureCounts,
  type FeatureScale,
  featureScale,
  mergeFeature,
} from './feature-bins.ts'
import {
  createLatencyHistogram,
  LATENCY_BIN_COUNT,
  type LatencyHistogram,
} from './latency-histogram.ts'

/** Why a request of the arm got no valid answer; in wire order. */
export const ERROR_KINDS = [
  'invalid_output',
  'timeout',
  'overloaded',
  'crashed',
  'cancelled',
  'internal',
] as const
export type ErrorKind = (typeof ERROR_KINDS)[number]

/** Where a request spends its time; `total` is what the application waits. In wire order. */
export const LATENCY_PARTS = ['queue', 'input', 'compute', 'output', 'total'] as const
export type LatencyPart = (typeof LATENCY_PARTS)[number]

export const CONFIDENCE_BIN_COUNT = 10

/** What a device needs to fill a window, and what two windows must share to be merged. */
export interface WindowShape {
  /** 16 hexadecimal digits over everything below. */
  readonly id: string
  /** A request that takes longer is bad; from the release's service levels. */
  readonly latencyMsMax: number
  readonly features: readonly FeatureReference[]
  /** The same, made ready for counting. */
  readonly scales: readonly FeatureScale[]
  /** 0 where the release predicts no class. */
  readonly classCount: number
  /** By the release's policy; applied when an interval is closed, not while it is counted. */
  readonly noise?: CountNoise
}

export interface Window {
  /** `WindowShape.id`. */
  shape: string
  /** Requests that drew the arm. */
  n: number
  errors: Record<ErrorKind, number>
  /** Requests that broke a service level: total latency over `latencyMsMax`. */
  nBad: { latency: number }
  latency: Record<LatencyPart, LatencyHistogram>
  /** In the order of the manifest's reference. */
  features: FeatureCounts[]
  outputs: {
    classCounts: number[]
    /** Answers by confidence, tenths of [0, 1]. */
    confidenceBins: number[]
    shadowCompared: number
    shadowDisagreed: number
  }
  /** Predictions whose truth came back; may belong to requests of an earlier window. */
  labels: {
    labelled: number
    correct: number
    /** Row truth, column prediction; empty above 16 classes. */
    confusion: number[]
  }
}

/** The most requests one window may tell of; far above what a device can serve in a week. */
const WINDOW_COUNT_MAX = 2 ** 32 - 1

const countSchema = z.int().min(0).max(WINDOW_COUNT_MAX)
/**
 * A row of counts, looked through in one loop: a schema for each of the 300 counts of a window was
 * most of what a message cost.
 */
const rowSchema = (lengthMin: number, lengthMax: number) =>
  z.custom<number[]>((value) => {
    if (!Array.isArray(value) || value.length < lengthMin || value.length > lengthMax) return false
    for (let i = 0; i < value.length; i++) if (!isCount(value[i])) return false
    return true
  }, `expected ${lengthMin} to ${lengthMax} counts`)

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= WINDOW_COUNT_MAX
}

const latencySchema = z.strictObject({
  first: z
    .int()
    .min(0)
    .max(LATENCY_BIN_COUNT - 1),
  counts: rowSchema(0, LATENCY_BIN_COUNT),
})
/** Not strict: former devices also told the least and the greatest value, which are dropped. */
const featureSchema = z.object({
  bins: rowSchema(1, 257),
  missing: countSchema,
  invalid: countSchema,
  deviation: z.int(),
  deviationSquared: z.int().min(0),
})

/** The JSON form, field by field; `windowFromJson` also checks that the counts fit together. */
export const windowSchema: z.ZodType<Window> = z.strictObject({
  shape: z.string().regex(/^[0-9a-f]{16}$/),
  n: countSchema,
  errors: z.strictObject(byKey(ERROR_KINDS, () => countSchema)),
  nBad: z.strictObject({ latency: countSchema }),
  latency: z.strictObject(byKey(LATENCY_PARTS, () => latencySchema)),
  features: z.array(featureSchema).max(64),
  outputs: z.strictObject({
    classCounts: rowSchema(0, 1024),
    confidenceBins: rowSchema(CONFIDENCE_BIN_COUNT, CONFIDENCE_BIN_COUNT),
    shadowCompared: countSchema,
    shadowDisagreed: countSchema,
  }),
  labels: z.strictObject({
    labelled: countSchema,
    correct: countSchema,
    confusion: rowSchema(0, CONFUSION_CLASSES_MAX ** 2),
  }),
})

/** The shape of a release's windows. */
export function windowShape(
  manifest: Pick<Manifest, 'serviceLevels' | 'reference' | 'classes' | 'disclosure'>,
): WindowShape {
  const { latencyMsMax } = manifest.serviceLevels
  const features = manifest.reference
  const classCount = manifest.classes?.names.length ?? 0
  const bins = features.map(({ feature, edges, mean, sd }) => [feature, edges, mean, sd])
  const id = sha256Hex(JSON.stringify([latencyMsMax, classCount, bins])).slice(0, 16)
  const epsilon = manifest.disclosure?.countNoise?.epsilon
  return {
    ...{ id, latencyMsMax, features, scales: features.map(featureScale), classCount },
    ...(epsilon !== undefined && { noise: { epsilon, features } }),
  }
}

export function emptyWindow(shape: WindowShape): Window {
  const { classCount } = shape
  return {
    shape: shape.id,
    n: 0,
    errors: byKey(ERROR_KINDS, () => 0),
    nBad: { latency: 0 },
    latency: byKey(LATENCY_PARTS, createLatencyHistogram),
    features: shape.features.map(({ edges }) => emptyFeature(edges.length + 1)),
    outputs: {
      classCounts: new Array<number>(classCount).fill(0),
      confidenceBins: new Array<number>(CONFIDENCE_BIN_COUNT).fill(0),
      shadowCompared: 0,
      shadowDisagreed: 0,
    },
    labels: {
      labelled: 0,
      correct: 0,
      confusion: new Array<number>(confusionCells(classCount)).fill(0),
    },
  }
}

/** A record over known keys, each value from `make`. */
export function byKey<K extends string, V>(
  keys: readonly K[],
  make: (key: K, index: number) => V,
): Record<K, V> {
  return Object.fromEntries(keys.map((key, i) => [key, make(key, i)])) as Record<K, V>
}

/**
 * The sum of two windows; commutative, associative, `emptyWindow` is the identity.
 * Errors: `window.shape_mismatch`, `window.overflow`.
 */
export function mergeWindows(a: Window, b: Window): Result<Window> {
  if (!isSameLayout(a, b)) {
    return refuse('window.shape_mismatch', 'Windows of different releases cannot be added.', {
      expected: `shape ${a.shape}`,
      found: `shape ${b.shape}`,
    })
  }
  const merged: Window = {
    shape: a.shape,
    n: a.n + b.n,
    errors: byKey(ERROR_KINDS, (kind) => a.errors[kind] + b.errors[kind]),
    nBad: { latency: a.nBad.latency + b.nBad.latency },
    latency: byKey(LATENCY_PARTS, (part) => mergeCounts(a.latency[part], b.latency[part])),
    features: a.features.map((feature, i) => mergeFeature(feature, b.features[i]!)),
    outputs: {
      classCounts: addRows(a.outputs.classCounts, b.outputs.classCounts),
      confidenceBins: addRows(a.outputs.confidenceBins, b.outputs.confidenceBins),
      shadowCompared: a.outputs.shadowCompared + b.outputs.shadowCompared,
      shadowDisagreed: a.outputs.shadowDisagreed + b.outputs.shadowDisagreed,
    },
    labels: {
      labelled: a.labels.labelled + b.labels.labelled,
      correct: a.labels.correct + b.labels.correct,
      confusion: addRows(a.labels.confusion, b.labels.confusion),
    },
  }
  const sums = merged.features.flatMap(({ deviation, deviationSquared }) => [
    Math.abs(deviation),
    deviationSquared,
  ])
  const { shadowCompared } = merged.outputs
  if (Math.max(merged.n, merged.labels.labelled, shadowCompared, ...sums) > COUNT_MAX) {
    return refuse('window.overflow', 'The sum would no longer be exact.', {
      expected: 'totals up to 2^52 - 1',
    })
  }
  return ok(merged)
}

/** The shape id is what a device says; the lengths are what would break a sum. */
function isSameLayout(a: Window, b: Window): boolean {
  return (
    a.shape === b.shape &&
    a.outputs.classCounts.length === b.outputs.classCounts.length &&
    a.labels.confusion.length === b.labels.confusion.length &&
    a.features.length === b.features.length &&
    a.features.every(({ bins }, i) => bins.length === b.features[i]!.bins.length)
  )
}
