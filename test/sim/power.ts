/**
 * A device's power, and the boundaries at which it may go: before and after every effect that a port
 * performs. Invariant: after the cut nothing of the former life runs any more; what it awaited never
 * comes.
 */
import type { Life } from './world.ts'

export interface Power {
  readonly life: Life
  /** Names the effect that is about to happen, or has just happened; the power may go here. */
  boundary(effect: string): void
  /** A boundary, then `delayMs` in which the effect takes place. */
  effect(name: string, delayMs: number): Promise<void>
}

export function createPower(
  life: Life,
  goesAt: (effect: string) => boolean,
  cut: () => void,
): Power {
  const boundary = (effect: string): void => {
    if (life.alive && goesAt(effect)) cut()
  }
  return {
    life,
    boundary,
    effect(name, delayMs) {
      boundary(name)
      return life.wait(delayMs)
    },
  }
}
