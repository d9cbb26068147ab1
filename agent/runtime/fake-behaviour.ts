/**
 * How a simulated release behaves, and the counts that follow from it for n requests. Latencies are
 * log-normal and fall into at most a few quantile bins; everything a verdict is made of (errors,
 * late requests, labels) is an exact binomial draw.
 */
import type { Prng } from '../../shared/kernel/prng.ts'
import type { Problem } from '../../shared/kernel/result.ts'
import { mergeCounts } from '../../shared/sketch/count-run.ts'
import { latencyBin } from '../../shared/sketch/latency-histogram.ts'
import type { ErrorKind, LatencyPart, Window, WindowShape } from '../../shared/sketch/window.ts'
import { recordLabel } from '../../shared/sketch/window-record.ts'
import { drawBinomial, standardNormalTail } from './fake-counts.ts'

export interface Behaviour {
  readonly latencyMsMedian: number
  /** Standard deviation of the logarithm of latency. */
  readonly latencyLogSd: number
  readonly errorRate: number
  readonly errorKind: ErrorKind
  /** Share of right answers, and of answers whose truth comes back. */
  readonly accuracy: number
  readonly labelledShare: number
  /** Refused at qualification. */
  readonly qualificationProblem: Problem | null
  /** Cannot be loaded by the host, although it qualified. */
  readonly loadProblem: Problem | null
}

export const HEALTHY: Behaviour = {
  latencyMsMedian: 5,
  latencyLogSd: 0.3,
  errorRate: 0.001,
  errorKind: 'internal',
  accuracy: 0.97,
  labelledShare: 0.2,
  qualificationProblem: null,
  loadProblem: null,
}

/** Latencies drawn for a histogram at most; the rest repeats them, for the histogram is for display. */
const LATENCIES_MAX = 16
/** Of the total. */
const LATENCY_SHARES: readonly (readonly [LatencyPart, number])[] = [
  ['queue', 0.1],
  ['input', 0.05],
  ['compute', 0.8],
  ['output', 0.05],
  ['total', 1],
]
const LABELS_MAX = 64

/** Fills an empty window, in place, with what n requests would have counted. */
export function fillWindow(
  window: Window,
  shape: WindowShape,
  n: number,
  behaviour: Behaviour,
  prng: Prng,
): Window {
  const errors = drawBinomial(prng, n, behaviour.errorRate)
  const answered = n - errors
  const tail = Math.log(shape.latencyMsMax / behaviour.latencyMsMedian) / behaviour.latencyLogSd
  window.n = n
  window.errors[behaviour.errorKind] = errors
  window.nBad.latency = drawBinomial(prng, answered, standardNormalTail(tail))
  fillLatencies(window, answered, behaviour, prng)
  fillClasses(window, answered, prng)
  fillLabels(window, drawBinomial(prng, answered, behaviour.labelledShare), behaviour, prng)
  return window
}

/** In place: a shadow run disagrees where the candidate fails or is wrong; the other is taken for right. */
export function fillShadow(window: Window, n: number, behaviour: Behaviour, prng: Prng): void {
  if (window.outputs.classCounts.length === 0) return
  const agreeing = (1 - behaviour.errorRate) * behaviour.accuracy
  window.outputs.shadowCompared = n
  window.outputs.shadowDisagreed = n - drawBinomial(prng, n, agreeing)
}

function fillLatencies(window: Window, n: number, behaviour: Behaviour, prng: Prng): void {
  const drawn = Math.min(n, LATENCIES_MAX)
  for (let i = 0; i < drawn; i++) {
    const factor = Math.exp(behaviour.latencyLogSd * prng.normal())
    const totalMs = behaviour.latencyMsMedian * factor
    const times = Math.floor(n / drawn) + (i < n % drawn ? 1 : 0)
    for (const [part, share] of LATENCY_SHARES) {
      const bin = { first: latencyBin(share * totalMs), counts: [times] }
      window.latency[part] = mergeCounts(window.latency[part], bin)
    }
  }
}

function fillClasses(window: Window, n: number, prng: Prng): void {
  const { classCounts, confidenceBins } = window.outputs
  let left = n
  for (let i = 0; i < classCounts.length; i++) {
    const isLast = i === classCounts.length - 1
    const count = isLast ? left : drawBinomial(prng, left, 1 / (classCounts.length - i))
    classCounts[i] = count
    left -= count
  }
  const confident = drawBinomial(prng, classCounts.length === 0 ? 0 : n, 0.9)
  confidenceBins[9] = confident
  confidenceBins[6] = classCounts.length === 0 ? 0 : n - confident
}

function fillLabels(window: Window, labelled: number, behaviour: Behaviour, prng: Prng): void {
  const classCount = window.outputs.classCounts.length
  if (classCount === 0) return
  const correct = drawBinomial(prng, labelled, behaviour.accuracy)
  // The confusion matrix gets a sample; the counts a verdict needs are exact.
  const sampled = Math.min(labelled, LABELS_MAX)
  for (let i = 0; i < sampled; i++) {
    const truth = prng.below(classCount)
    const isCorrect = i < Math.round((sampled * correct) / Math.max(1, labelled))
    recordLabel(window, isCorrect ? truth : (truth + 1) % classCount, truth)
  }
  window.labels.labelled = labelled
  window.labels.correct = correct
}
