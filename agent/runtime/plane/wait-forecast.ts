/**
 * How long a request will wait, by what this device's own requests waited lately: a histogram of the
 * time that each place in the line cost. It holds whatever makes a wait, batches, others that go
 * first, what else the loop does, without knowing of any.
 * Invariant: remembers at least the last `RECENT` waits and at most twice as many.
 */
import {
  createLatencyHistogram,
  latencyQuantileMs,
  recordLatency,
} from '../../../shared/sketch/latency-histogram.ts'

export interface Forecast {
  /** A duration that was measured. */
  record(tookMs: number): void
  /** The median of the recent ones; 0 while nothing is known. */
  medianMs(): number
}

const RECENT = 128
/** The median is looked up again after so many more; the first few are each news. */
const FRESH = 32
const FIRST = 8

export function createForecast(): Forecast {
  let recent = createLatencyHistogram()
  let count = 0
  /** The median of the histogram before this one, which fades out as this one fills. */
  let earlierMs = 0
  let medianMs = 0
  return {
    record(tookMs) {
      if (!recordLatency(recent, tookMs)) return
      count += 1
      if (count > FIRST && count % FRESH !== 0) return
      const foundMs = latencyQuantileMs(recent, 0.5) ?? 0
      const share = earlierMs === 0 ? 1 : count / RECENT
      medianMs = share * foundMs + (1 - share) * earlierMs
      if (count < RECENT) return
      earlierMs = foundMs
      recent = createLatencyHistogram()
      count = 0
    },
    medianMs: () => medianMs,
  }
}
