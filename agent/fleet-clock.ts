/**
 * The clock of a device as its fleet has it: what the director told last, else what the device's own
 * says. For tokens, which the controller holds against its own clock, and for stamps.
 *
 * Invariant: nothing is trusted by it. What is checked against time is artifact/trusted-time.ts alone.
 */
import type { Clock, Log } from './ports.ts'

interface ToldTime {
  claimedMs(): number
  askTime(): Promise<boolean>
}

export interface FleetClock {
  readonly clock: Clock
  /** Where a token was refused. True when the time was told; the log says how far off the clock is. */
  askTime(): Promise<boolean>
}

export function createFleetClock(own: Clock, time: ToldTime, log: Log): FleetClock {
  return {
    clock: { ...own, nowMs: () => time.claimedMs() },
    async askTime() {
      if (!(await time.askTime())) return false
      const offsetMs = Math.round(time.claimedMs() - own.nowMs())
      log.warn('the controller told the time', {
        offsetMs,
        clock: new Date(own.nowMs()).toISOString(),
      })
      return true
    },
  }
}
