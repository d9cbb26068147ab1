/**
 * The control process adds what its host counted into intervals of `windowMs`. The host may die at
 * any time; what it sent is safe here. An interval ends when it is old enough or when model,
 * generation, share, rollout or release of an arm change. Pure but for its own memory.
 */
import { mergeWindows } from '../../../shared/sketch/window.ts'
import type { ArmWindow, ClosedInterval } from '../../ports.ts'

export interface IntervalMerge {
  add(part: ClosedInterval): void
  /** Ends the intervals that are at least `windowMs` old, or all of them. */
  close(nowMs: number, all?: boolean): void
}

/** Models on one device; beyond it the oldest interval ends early. */
const OPEN_MAX = 64

export function createIntervalMerge(
  windowMs: () => number,
  emit: (interval: ClosedInterval) => void,
): IntervalMerge {
  const open = new Map<string, ClosedInterval>()

  function end(key: string, atMs?: number): void {
    const interval = open.get(key)
    open.delete(key)
    if (interval === undefined) return
    // Time without requests belongs to the interval too, or rates come out too high.
    const durationMs = Math.max(interval.durationMs, (atMs ?? 0) - interval.startedAtMs)
    emit({ ...interval, durationMs })
  }

  return {
    add(part) {
      const key = part.model
      const before = open.get(key)
      const merged = before === undefined ? undefined : mergeIntervals(before, part)
      if (merged === undefined) {
        end(key)
        const oldest = open.keys().next()
        if (open.size >= OPEN_MAX && !oldest.done) end(oldest.value)
      }
      open.set(key, merged ?? part)
    },
    close(nowMs, all = false) {
      for (const [key, { startedAtMs }] of [...open]) {
        // A clock that was set back must not keep an interval open for ever.
        const ageMs = nowMs - startedAtMs
        if (all || ageMs >= windowMs() || ageMs < 0) end(key, nowMs)
      }
    },
  }
}

/** @returns undefined where the two may not be added. */
function mergeIntervals(a: ClosedInterval, b: ClosedInterval): ClosedInterval | undefined {
  const same =
    a.generation === b.generation &&
    a.share === b.share &&
    a.rollout?.id === b.rollout?.id &&
    a.rollout?.wave === b.rollout?.wave &&
    a.arms.length === b.arms.length
  if (!same) return undefined
  const arms: ArmWindow[] = []
  for (const [i, arm] of a.arms.entries()) {
    const other = b.arms[i]
    const sameRelease =
      other?.arm === arm.arm && other.version === arm.version && other.variant === arm.variant
    const window = sameRelease ? mergeWindows(arm.window, other.window) : undefined
    if (window === undefined || !window.ok) return undefined
    arms.push({ ...arm, window: window.value })
  }
  const endMs = Math.max(a.startedAtMs + a.durationMs, b.startedAtMs + b.durationMs)
  const startedAtMs = Math.min(a.startedAtMs, b.startedAtMs)
  return { ...a, arms, startedAtMs, durationMs: endMs - startedAtMs }
}
