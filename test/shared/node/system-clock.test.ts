import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../../shared/node/system-clock.ts'

const DAY_MS = 86_400_000

describe('the clock of a program', () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  it('waits for longer than a timer of 32 bits can', async () => {
    let runs = 0
    systemClock.after(60 * DAY_MS, () => runs++)
    await vi.advanceTimersByTimeAsync(60 * DAY_MS - 1)
    expect(runs).toBe(0)
    await vi.advanceTimersByTimeAsync(1)
    expect(runs).toBe(1)
  })

  it('cancels a wait in any of its parts', async () => {
    let runs = 0
    const cancel = systemClock.after(60 * DAY_MS, () => runs++)
    await vi.advanceTimersByTimeAsync(50 * DAY_MS)
    cancel()
    await vi.advanceTimersByTimeAsync(50 * DAY_MS)
    expect(runs).toBe(0)
  })
})
