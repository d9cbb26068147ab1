/**
 * A log-binned histogram of durations, the only form in which latencies leave a device.
 * Bin 0 holds [0, 1 us]; bin i holds (b^(i-1), b^i] us with b = 2^(1/32), which is bucket i-1 of an
 * OpenTelemetry exponential histogram of scale 5; the last bin also holds everything above an hour.
 * A quantile is therefore known to 1.08 %, and sums of counts merge without loss in any order.
 *
 * Invariant: `counts` starts and ends with a non-zero count, or is empty with `first` 0: equal
 * histograms are deeply equal. Never used for a decision: limits are counted exactly elsewhere.
 */
import type { CountRun } from './count-run.ts'

const BINS_PER_DOUBLING = 32
const US_PER_MS = 1000
/** Bins 0 to 1016: 2^(1016/32) us is the first bound above one hour. */
export const LATENCY_BIN_COUNT = 1017

/** Plain JSON; `recordLatency` alone changes it in place. */
export type LatencyHistogram = CountRun

export function createLatencyHistogram(): LatencyHistogram {
  return { first: 0, counts: [] }
}

/** The bin of a duration of at least 0 ms. */
export function latencyBin(valueMs: number): number {
  const us = valueMs * US_PER_MS
  if (us <= 1) return 0
  const bin = Math.ceil(BINS_PER_DOUBLING * Math.log2(us))
  return bin < LATENCY_BIN_COUNT ? bin : LATENCY_BIN_COUNT - 1
}

/** Inclusive upper bound of a bin, in ms (the last bin has no bound in truth). */
export function latencyBinUpperMs(bin: number): number {
  return 2 ** (bin / BINS_PER_DOUBLING) / US_PER_MS
}

/**
 * Counts one duration, in place. Zero counts in the first bin, anything above an hour in the last.
 * @returns false, and counts nothing, for what is no duration: negative, NaN or infinite.
 */
export function recordLatency(histogram: LatencyHistogram, valueMs: number): boolean {
  if (!(valueMs >= 0 && valueMs < Infinity)) return false
  const { counts } = histogram
  const offset = latencyBin(valueMs) - histogram.first
  if (offset >= 0 && offset < counts.length) counts[offset]!++
  else growFor(histogram, offset + histogram.first)
  return true
}

function growFor(histogram: LatencyHistogram, bin: number): void {
  const { counts } = histogram
  if (counts.length === 0) {
    histogram.first = bin
    counts.push(1)
  } else if (bin < histogram.first) {
    counts.unshift(1, ...Array.from({ length: histogram.first - bin - 1 }, () => 0))
    histogram.first = bin
  } else {
    for (let next = histogram.first + counts.length; next < bin; next++) counts.push(0)
    counts.push(1)
  }
}

export function latencyTotal(histogram: LatencyHistogram): number {
  return histogram.counts.reduce((sum, count) => sum + count, 0)
}

/**
 * The duration at or under which the share `q` in [0, 1] lies (nearest rank), in ms, to 1.08 %.
 * @returns undefined for an empty histogram.
 */
export function latencyQuantileMs(histogram: LatencyHistogram, q: number): number | undefined {
  const total = latencyTotal(histogram)
  if (total === 0) return undefined
  const rank = Math.max(1, Math.ceil(q * total))
  let seen = 0
  for (let i = 0; i < histogram.counts.length; i++) {
    seen += histogram.counts[i]!
    if (seen >= rank) return binValueMs(histogram.first + i)
  }
  return binValueMs(histogram.first + histogram.counts.length - 1)
}

/** The value with the least relative error in its bin: (b-1)/(b+1) = 1.08 %. */
function binValueMs(bin: number): number {
  const upperMs = latencyBinUpperMs(bin)
  if (bin === 0) return upperMs
  const lowerMs = latencyBinUpperMs(bin - 1)
  return (2 * upperMs * lowerMs) / (upperMs + lowerMs)
}

/** About how many durations exceed `limitMs`. For display: decisions use exact counts. */
export function latencyCountAbove(histogram: LatencyHistogram, limitMs: number): number {
  const limitBin = latencyBin(Math.max(0, limitMs))
  let above = 0
  histogram.counts.forEach((count, i) => {
    const bin = histogram.first + i
    if (bin > limitBin) above += count
    else if (bin === limitBin && bin > 0) {
      const us = Math.max(limitMs * US_PER_MS, 1)
      above += count * Math.min(1, bin - BINS_PER_DOUBLING * Math.log2(us))
    }
  })
  return above
}
