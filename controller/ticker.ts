/**
 * Runs one task again and again on the injected clock. Invariant: runs never overlap; `wake` during
 * a run makes another follow at once.
 */
import type { Clock } from './ports.ts'

export interface Ticker {
  start(): void
  /** Resolves when the run that is under way is over; none follows. */
  stop(): Promise<void>
  /** As soon as possible, not only at the next tick. */
  wake(): void
  /** One run now, or the one after the run that is under way. */
  tick(): Promise<void>
}

/** @param run must not throw; true: run again at once */
export function createTicker(clock: Clock, everyMs: number, run: () => Promise<boolean>): Ticker {
  let started = false
  let cancel: (() => void) | undefined
  let running: Promise<void> | undefined
  let again = false

  function schedule(delayMs: number): void {
    cancel?.()
    cancel = started ? clock.after(delayMs, () => void tick()) : undefined
  }

  async function once(): Promise<void> {
    again = false
    const more = await run()
    schedule(more || again ? 0 : everyMs)
  }

  async function tick(): Promise<void> {
    while (running !== undefined) await running
    running = once()
    await running.finally(() => {
      running = undefined
    })
  }

  return {
    start() {
      started = true
      schedule(0)
    },
    async stop() {
      started = false
      cancel?.()
      while (running !== undefined) await running
    },
    wake() {
      again = true
      if (running === undefined) schedule(0)
    },
    tick,
  }
}
