import { describe, expect, it } from 'vitest'
import { createBeatWatch } from '../../../../agent/runtime/host/beat-watch.ts'

const LIMITS = { hangMs: 1_000, loadMsMax: 60_000, checkMs: 250 }

/** Asks every 250 ms. @returns the time at which the watch calls the host still, up to `untilMs`. */
function stillAt(prepare: (watch: ReturnType<typeof createBeatWatch>) => void, untilMs: number) {
  const watch = createBeatWatch(LIMITS, 0)
  prepare(watch)
  for (let nowMs = 250; nowMs <= untilMs; nowMs += 250) if (watch.isStill(nowMs)) return nowMs
  return undefined
}

describe('A host that does not beat', () => {
  it('stands still after the time that a run may block', () => {
    expect(stillAt((watch) => watch.beat(0), 10_000)).toBe(1_250)
  })

  it('may take longer to start and to load', () => {
    expect(stillAt(() => undefined, 59_000)).toBeUndefined()
    const loading = (watch: ReturnType<typeof createBeatWatch>) => {
      watch.beat(0)
      watch.loading('a'.repeat(64))
    }
    expect(stillAt(loading, 59_000)).toBeUndefined()
    expect(stillAt(loading, 70_000)).toBe(60_250)
  })

  it('gets its time again when the watcher itself stood still', () => {
    const watch = createBeatWatch(LIMITS, 0)
    watch.beat(0)
    expect(watch.isStill(500)).toBe(false)
    expect(watch.isStill(3_600_000)).toBe(false)
    expect(watch.isStill(3_600_250)).toBe(false)
  })

  it('is called still once', () => {
    const watch = createBeatWatch({ ...LIMITS, checkMs: 1_000 }, 0)
    watch.beat(0)
    expect([1_500, 2_500, 3_500].map((nowMs) => watch.isStill(nowMs))).toEqual([true, false, false])
  })
})
