import { describe, expect, it } from 'vitest'
import type { ClosedInterval } from '../../../../agent/ports.ts'
import { createIntervalMerge } from '../../../../agent/runtime/plane/interval-merge.ts'
import { createIntervalRecorder } from '../../../../agent/runtime/plane/interval-recorder.ts'
import { emptyWindow, windowShape } from '../../../../shared/sketch/window.ts'

const DAY_MS = 86_400_000
const shape = windowShape({
  serviceLevels: {
    ...{ latencyMsMax: 10, latencyBadShareMax: 0.05, errorRateMax: 0.01, qualityDropMax: 0.05 },
  },
  reference: [],
  classes: null,
})
const part = (
  startedAtMs: number,
  n: number,
  more: Partial<ClosedInterval> = {},
): ClosedInterval => ({
  ...{ model: 'm', generation: 1, rollout: null, share: 0, startedAtMs, durationMs: 500 },
  arms: [
    {
      ...{ arm: 'baseline', version: '1.0.0', variant: 'fp32' },
      window: { ...emptyWindow(shape), n },
    },
  ],
  ...more,
})

function merge(windowMs: number) {
  const ended: ClosedInterval[] = []
  let atMs = 0
  const merging = createIntervalMerge(
    () => windowMs,
    (interval) => void ended.push(interval),
    () => atMs,
  )
  const told = () =>
    ended.map(({ startedAtMs, durationMs, share, arms }) => ({
      ...{ startedAtMs, durationMs, share, n: arms[0]?.window.n },
    }))
  /** Of the clock that nobody sets. */
  const at = (ms: number) => {
    atMs = ms
    return merging
  }
  return { at, told }
}

describe('What the host counts', () => {
  it('is added up until the window ends, with the quiet time in it', () => {
    const { at, told } = merge(2_000)
    at(500).add(part(0, 3))
    at(1_000).add(part(500, 4))
    at(1_999).close()
    expect(told()).toEqual([])
    at(2_100).close()
    expect(told()).toEqual([{ startedAtMs: 0, durationMs: 2_100, share: 0, n: 7 }])
  })

  it.each<[string, Partial<ClosedInterval>]>([
    ['share', { share: 50_000 }],
    ['generation', { generation: 2 }],
    ['rollout', { rollout: { id: 'r', wave: 1 } }],
  ])('never spans a change of %s', (_, change) => {
    const { at, told } = merge(60_000)
    at(500).add(part(0, 3))
    at(1_000).add(part(500, 4, change))
    at(1_100).close(true)
    expect(told().map(({ n, durationMs }) => [n, durationMs])).toEqual([
      [3, 500],
      [4, 600],
    ])
  })

  it('keeps models apart and bounds how many are open', () => {
    const { at, told } = merge(60_000)
    for (let i = 0; i < 70; i++) at(500).add(part(0, i, { model: `m${i}` }))
    expect(told().map(({ n }) => n)).toEqual([0, 1, 2, 3, 4, 5])
  })

  it.each([
    ['forward', DAY_MS],
    ['back', -DAY_MS],
  ])('lasts as long as it did while the clock of the device is set a day %s', (_, jumpMs) => {
    const { at, told } = merge(2_000)
    const startMs = 10 * DAY_MS
    at(500).add(part(startMs, 3))
    at(1_000).add(part(startMs + jumpMs + 500, 4))
    at(1_999).close()
    expect(told()).toEqual([])
    at(2_000).close()
    expect(told()).toEqual([{ startedAtMs: startMs, durationMs: 2_000, share: 0, n: 7 }])
  })
})

describe('The host', () => {
  it.each([
    ['forward', DAY_MS],
    ['back', -DAY_MS],
  ])('counts for as long as it did while the clock is set a day %s', (_, jumpMs) => {
    const clock = { wallMs: 10 * DAY_MS, runMs: 0 }
    const { model, generation, rollout, share } = part(0, 0)
    const arms = [{ arm: 'baseline' as const, sha256: 'a', version: '1', variant: 'fp32', shape }]
    const recorder = createIntervalRecorder(
      { model, generation, rollout, share, arms },
      () => clock.wallMs,
      () => clock.runMs,
    )
    recorder.record('baseline', { latencyMs: { total: 1 } })
    clock.runMs += 500
    clock.wallMs += 500 + jumpMs
    expect(recorder.flush()).toMatchObject({
      startedAtMs: 10 * DAY_MS + jumpMs,
      durationMs: 500,
    })
  })
})
