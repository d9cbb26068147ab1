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
  close(all?: boolean): void
}

/** By a clock that nobody sets. */
interface Open {
  readonly interval: ClosedInterval
  readonly beganMs: number
  readonly lastMs: number
}

/** Models on one device; beyond it the oldest interval ends early. */
const OPEN_MAX = 64

/** @param nowMs only ever grows: a device whose clock is set counts on as before. */
export function createIntervalMerge(
  windowMs: () => number,
  emit: (interval: ClosedInterval) => void,
  nowMs: () => number = () => performance.now(),
): IntervalMerge {
  const open = new Map<string, Open>()

  function end(key: string, untilMs?: number): void {
    const found = open.get(key)
    open.delete(key)
    if (found === undefined) return
    // Time without requests belongs to the interval too, or rates come out too high.
    const durationMs = Math.round((untilMs ?? found.lastMs) - found.beganMs)
    emit({ ...found.interval, durationMs })
  }

  return {
    add(part) {
      const key = part.model
      const before = open.get(key)
      const merged = before === undefined ? undefined : mergeIntervals(before.interval, part)
      if (merged === undefined) {
        end(key)
        const oldest = open.keys().next()
        if (open.size >= OPEN_MAX && !oldest.done) end(oldest.value)
      }
      const lastMs = nowMs()
      const beganMs = lastMs - part.durationMs
      const isFirst = before === undefined || merged === undefined
      open.set(key, {
        interval: merged ?? part,
        beganMs: isFirst ? beganMs : Math.min(before.beganMs, beganMs),
        lastMs,
      })
    },
    close(all = false) {
      const atMs = nowMs()
      for (const [key, { beganMs }] of [...open]) {
        if (all || atMs - beganMs >= windowMs()) end(key, atMs)
      }
    },
  }
}

/** @returns what both counted, from the beginning of the first; undefined where they may not be added. */
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
  return { ...a, arms }
}
