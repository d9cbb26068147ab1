/**
 * How intervals that wait become fewer: they are sums, so those of one key merge. The key holds
 * everything that a decision may ask for; time is kept to the hour, and to the day when the spool
 * overflows.
 */
import type { SpooledInterval } from '../shared/protocol/spool-record.ts'
import { mergeWindows } from '../shared/sketch/window.ts'
import type { ClosedInterval } from './ports.ts'

type Interval = SpooledInterval['interval']

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

export function hourKey(interval: ClosedInterval): string {
  return keyOf(interval, HOUR_MS)
}

export function dayKey(interval: ClosedInterval): string {
  return keyOf(interval, DAY_MS)
}

function keyOf(interval: ClosedInterval, unitMs: number): string {
  const { model, generation, rollout, share, startedAtMs, arms } = interval
  const releases = arms.map(({ arm, version, variant, window }) => [
    arm,
    version,
    variant,
    window.shape,
  ])
  const time = Math.floor(startedAtMs / unitMs)
  return JSON.stringify([model, generation, rollout?.id, rollout?.wave, share, releases, time])
}

/** The sum of two intervals of one key, or undefined when the counts would no longer be exact. */
export function mergeIntervals(a: ClosedInterval, b: ClosedInterval): Interval | undefined {
  const arms: Interval['arms'] = []
  for (const [i, arm] of a.arms.entries()) {
    const merged = mergeWindows(arm.window, b.arms[i]!.window)
    if (!merged.ok) return undefined
    arms.push({ ...arm, window: merged.value })
  }
  const startedAtMs = Math.min(a.startedAtMs, b.startedAtMs)
  return { ...a, startedAtMs, durationMs: a.durationMs + b.durationMs, arms }
}

/** Requests that an interval tells of. */
export function requestsIn(interval: ClosedInterval): number {
  return interval.arms.reduce((sum, { window }) => sum + window.n, 0)
}
