/**
 * When to connect again: full jitter over a span that doubles from 1 s to 120 s, so that a fleet
 * that lost its broker does not come back in one second. A connection that did not live long counts
 * as a failed one. The controller may ask for more time, up to ten minutes, once.
 */
import type { Clock } from '../ports.ts'

const SPAN_MS_FIRST = 2_000
const SPAN_MS_MAX = 120_000
const DELAY_MS_MIN = 1_000
const ASKED_MS_MAX = 600_000
const LIVED_MS_MIN = 10_000

export interface Backoff {
  connected(): void
  askedToWait(retryAfterMs: number): void
  nextDelayMs(): number
}

export function createBackoff(ports: {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly random: () => number
}): Backoff {
  let failures = 0
  let connectedAtMs: number | undefined
  let askedMs = 0
  return {
    connected() {
      connectedAtMs = ports.clock.monotonicMs()
    },
    askedToWait(retryAfterMs) {
      askedMs = Math.min(retryAfterMs, ASKED_MS_MAX)
    },
    nextDelayMs() {
      const livedMs = connectedAtMs === undefined ? 0 : ports.clock.monotonicMs() - connectedAtMs
      connectedAtMs = undefined
      failures = livedMs >= LIVED_MS_MIN ? 1 : failures + 1
      const spanMs = Math.min(SPAN_MS_MAX, SPAN_MS_FIRST * 2 ** Math.min(failures - 1, 16))
      const delayMs = DELAY_MS_MIN + ports.random() * (spanMs - DELAY_MS_MIN)
      const asked = askedMs * (1 + ports.random() / 4)
      askedMs = 0
      return Math.max(delayMs, asked)
    },
  }
}
