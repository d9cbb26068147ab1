/**
 * The last thing that happens to an interval before anything keeps it: counts that could tell what
 * single requests held get the noise that the release's signed policy states. Invariant: once for
 * each interval, before the spool: exact counts of such a release reach neither the disk nor the
 * network. Intervals that merge later, offline, add up their noise.
 */
import { type RandomUint32, withCountNoise } from '../../../shared/sketch/count-noise.ts'
import type { ClosedInterval } from '../../ports.ts'

/** @returns `interval` itself where no release asks for noise. */
export function disguiseInterval(interval: ClosedInterval, uint32: RandomUint32): ClosedInterval {
  if (interval.arms.every(({ noise }) => noise === undefined)) return interval
  return {
    ...interval,
    arms: interval.arms.map(({ noise, window, ...arm }) => ({
      ...arm,
      window: noise === undefined ? window : withCountNoise(window, noise, uint32),
    })),
  }
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
