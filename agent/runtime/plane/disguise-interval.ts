/**
 * The last thing that happens to an interval before anything keeps it: sums over few values, which
 * would tell them, are taken from the bins (few-values.ts), and counts that could tell what single
 * requests held get the noise that the release's signed policy states. Invariant: once for each
 * interval, before the spool: what is taken out here reaches neither the disk nor the network.
 * Intervals that merge later, offline, add up their noise.
 */
import { type RandomUint32, withCountNoise } from '../../../shared/sketch/count-noise.ts'
import { withoutFewValues } from '../../../shared/sketch/few-values.ts'
import type { ArmWindow, ClosedInterval } from '../../ports.ts'

/** @returns `interval` itself where there is nothing to disguise. */
export function disguiseInterval(interval: ClosedInterval, uint32: RandomUint32): ClosedInterval {
  if (interval.arms.every(({ noise, features }) => noise === undefined && features === undefined)) {
    return interval
  }
  return { ...interval, arms: interval.arms.map((arm) => disguiseArm(arm, uint32)) }
}

function disguiseArm({ noise, features, ...arm }: ArmWindow, uint32: RandomUint32): ArmWindow {
  const { window } = arm
  // Noised bins bring sums of their own.
  if (noise !== undefined) return { ...arm, window: withCountNoise(window, noise, uint32) }
  return features === undefined ? arm : { ...arm, window: withoutFewValues(window, features) }
}

const BATCH = 1_024

/** From the system's own generator, in batches; on Node and in browsers. */
export function secureUint32(): RandomUint32 {
  const batch = new Uint32Array(BATCH)
  let next = BATCH
  return () => {
    if (next === BATCH) {
      crypto.getRandomValues(batch)
      next = 0
    }
    const drawn = batch[next]!
    batch[next] = 0
    next += 1
    return drawn
  }
}
