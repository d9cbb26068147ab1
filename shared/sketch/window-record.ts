/**
 * Fills a window in place as requests pass through the model host. Deciding which arm a request
 * drew, and refusing an answer that is no answer, is done before.
 */
import { recordFeatures } from './feature-bins.ts'
import { recordLatency } from './latency-histogram.ts'
import {
  CONFIDENCE_BIN_COUNT,
  type ErrorKind,
  LATENCY_PARTS,
  type LatencyPart,
  type Window,
  type WindowShape,
} from './window.ts'

/** One request as the model host saw it. */
export interface RequestSample {
  /** Absent when the request was answered. */
  error?: ErrorKind | undefined
  /** In ms; parts that the request never reached are absent. */
  latencyMs: Partial<Record<LatencyPart, number>>
  /** In manifest order; null where the request had no value. */
  features?: readonly (number | null)[] | undefined
  prediction?: { classIndex: number; confidence?: number | undefined } | undefined
}

/** Counts one request, in place. The hot path: a few increments for each part and feature. */
export function recordRequest(window: Window, shape: WindowShape, sample: RequestSample): void {
  window.n++
  if (sample.error !== undefined) window.errors[sample.error]++
  for (const part of LATENCY_PARTS) {
    const valueMs = sample.latencyMs[part]
    if (valueMs !== undefined) recordLatency(window.latency[part], valueMs)
  }
  if ((sample.latencyMs.total ?? 0) > shape.latencyMsMax) window.nBad.latency++
  if (sample.features !== undefined) recordFeatures(window.features, shape.scales, sample.features)
  if (sample.prediction !== undefined) recordPrediction(window, sample.prediction)
}

/** A class that the release does not have is the runtime's to refuse; here it counts nowhere. */
function recordPrediction(
  { outputs }: Window,
  { classIndex, confidence }: { classIndex: number; confidence?: number | undefined },
): void {
  if (classIndex in outputs.classCounts) outputs.classCounts[classIndex]!++
  if (confidence === undefined || !(confidence >= 0 && confidence <= 1)) return
  const tenth = Math.min(CONFIDENCE_BIN_COUNT - 1, Math.floor(confidence * CONFIDENCE_BIN_COUNT))
  outputs.confidenceBins[tenth]!++
}

/** Counts, in place, a request that both releases computed. */
export function recordShadow({ outputs }: Window, agreed: boolean): void {
  outputs.shadowCompared++
  if (!agreed) outputs.shadowDisagreed++
}

/** Counts, in place, the truth about an earlier answer, as class indices of the release. */
export function recordLabel({ labels }: Window, predicted: number, truth: number): void {
  labels.labelled++
  if (predicted === truth) labels.correct++
  const classCount = Math.sqrt(labels.confusion.length)
  if (Math.max(predicted, truth) < classCount) labels.confusion[truth * classCount + predicted]!++
}
