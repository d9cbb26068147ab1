/**
 * The positional form of a window that travels as CBOR: no names, schema id first, rows of counts
 * as byte strings (count-run.ts). The CBOR itself is the protocol's; what arrives is checked like
 * JSON.
 *
 *   [1, shape bytes(8), n, [errors in ERROR_KINDS order], slow,
 *    [latency bytes in LATENCY_PARTS order],
 *    [[binCount, bins, missing, invalid, deviation, deviationSquared, no bytes] ...],
 *    [classCount, classes, confidences, compared, disagreed],
 *    [labelled, correct, cells, confusion]]
 *
 * Where a feature has no bytes, former devices told its least and greatest value (two float32). Single
 * values leave no device any more; those that still come are not read.
 */
import { fromHex, toHex } from '../kernel/bytes.ts'
import { type Result, refuse } from '../kernel/result.ts'
import { type CountRun, decodeCounts, decodeRow, encodeCounts, encodeRow } from './count-run.ts'
import type { FeatureCounts } from './feature-bins.ts'
import { LATENCY_BIN_COUNT } from './latency-histogram.ts'
import { byKey, CONFIDENCE_BIN_COUNT, ERROR_KINDS, LATENCY_PARTS, type Window } from './window.ts'
import { windowFromJson } from './window-check.ts'

const WINDOW_WIRE_SCHEMA = 1
/** No row of a window is longer; keeps a hostile length from allocating. */
const ROW_BINS_MAX = 1024
const FEATURES_MAX = 64
const NO_EXTREMES = new Uint8Array(0)

export function windowToWire(window: Window): unknown[] {
  const { outputs, labels } = window
  return [
    WINDOW_WIRE_SCHEMA,
    fromHex(window.shape),
    window.n,
    ERROR_KINDS.map((kind) => window.errors[kind]),
    window.nBad.latency,
    LATENCY_PARTS.map((part) => encodeCounts(window.latency[part])),
    window.features.map(featureToWire),
    [
      outputs.classCounts.length,
      encodeRow(outputs.classCounts),
      encodeRow(outputs.confidenceBins),
      outputs.shadowCompared,
      outputs.shadowDisagreed,
    ],
    [labels.labelled, labels.correct, labels.confusion.length, encodeRow(labels.confusion)],
  ]
}

function featureToWire(feature: FeatureCounts): unknown[] {
  return [
    feature.bins.length,
    encodeRow(feature.bins),
    feature.missing,
    feature.invalid,
    feature.deviation,
    feature.deviationSquared,
    NO_EXTREMES,
  ]
}

/**
 * What cannot be decoded becomes undefined and fails the schema under its own path.
 * Errors: `window.malformed`, `window.inconsistent`; see `windowFromJson`.
 */
export function windowFromWire(value: unknown): Result<Window> {
  const [schema, shape, n, errors, slow, latency, features, outputs, labels] = items(value, 9)
  if (schema !== WINDOW_WIRE_SCHEMA) {
    return refuse('window.malformed', 'The value is no telemetry window of a known schema.', {
      expected: `an array of 9 that starts with ${WINDOW_WIRE_SCHEMA}`,
      found: typeof schema === 'number' ? `schema ${schema}` : typeof value,
    })
  }
  const [classCount, classes, confidences, shadowCompared, shadowDisagreed] = items(outputs, 5)
  const [labelled, correct, confusionCells, confusion] = items(labels, 4)
  const errorCounts = items(errors, ERROR_KINDS.length)
  const latencies = items(latency, LATENCY_PARTS.length)
  return windowFromJson({
    shape: shape instanceof Uint8Array ? toHex(shape) : shape,
    n,
    errors: byKey(ERROR_KINDS, (_, i) => errorCounts[i]),
    nBad: { latency: slow },
    latency: byKey(LATENCY_PARTS, (_, i) => latencyFromWire(latencies[i])),
    features:
      Array.isArray(features) && features.length <= FEATURES_MAX
        ? features.map(featureFromWire)
        : undefined,
    outputs: {
      classCounts: rowFromWire(classes, classCount),
      confidenceBins: rowFromWire(confidences, CONFIDENCE_BIN_COUNT),
      shadowCompared,
      shadowDisagreed,
    },
    labels: { labelled, correct, confusion: rowFromWire(confusion, confusionCells) },
  })
}

/** The items of an array of exactly `length`, else none. */
function items(value: unknown, length: number): readonly unknown[] {
  return Array.isArray(value) && value.length === length ? value : []
}

function latencyFromWire(value: unknown): CountRun | undefined {
  if (!(value instanceof Uint8Array)) return undefined
  const run = decodeCounts(value, LATENCY_BIN_COUNT)
  return run.ok ? run.value : undefined
}

function rowFromWire(value: unknown, binCount: unknown): number[] | undefined {
  if (!(value instanceof Uint8Array) || typeof binCount !== 'number') return undefined
  if (!Number.isInteger(binCount) || binCount < 0 || binCount > ROW_BINS_MAX) return undefined
  const row = decodeRow(value, binCount)
  return row.ok ? row.value : undefined
}

function featureFromWire(value: unknown): unknown {
  const [binCount, bins, missing, invalid, deviation, deviationSquared, extremes] = items(value, 7)
  if (!(extremes instanceof Uint8Array)) return undefined
  if (extremes.byteLength !== 0 && extremes.byteLength !== 8) return undefined
  return {
    bins: rowFromWire(bins, binCount),
    missing,
    invalid,
    deviation,
    deviationSquared,
  }
}
