/**
 * How long a request will wait, by what this device's own requests waited lately: the median of the
 * time that each place in the line cost. It holds whatever makes a wait, batches, others that go
 * first, what else the loop does, without knowing of any.
 * Invariant: remembers the last `RECENT` waits; the median is at most `FRESH` of them old.
 */

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
  const recent = new Float64Array(RECENT)
  let count = 0
  /** Of them, those that the median knows. */
  let known = 0
  let medianMs = 0
  return {
    record(tookMs) {
      if (!(tookMs >= 0 && tookMs < Infinity)) return
      recent[count % RECENT] = tookMs
      count += 1
    },
    // Asked only where somebody waits: what everybody would pay is left to those.
    medianMs() {
      if (count - known < (count <= FIRST ? 1 : FRESH)) return medianMs
      known = count
      const sorted = recent.slice(0, Math.min(count, RECENT)).sort()
      medianMs = sorted[(sorted.length - 1) >> 1] ?? 0
      return medianMs
    },
  }
}
