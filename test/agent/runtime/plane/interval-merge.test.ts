import { describe, expect, it } from 'vitest'
import type { ClosedInterval } from '../../../../agent/ports.ts'
import { createIntervalMerge } from '../../../../agent/runtime/plane/interval-merge.ts'
import { emptyWindow, windowShape } from '../../../../shared/sketch/window.ts'

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
  const merging = createIntervalMerge(
    () => windowMs,
    (interval) => void ended.push(interval),
  )
  const told = () =>
    ended.map(({ startedAtMs, durationMs, share, arms }) => ({
      ...{ startedAtMs, durationMs, share, n: arms[0]?.window.n },
    }))
  return { ...merging, told }
}

describe('What the host counts', () => {
  it('is added up until the window ends, with the quiet time in it', () => {
    const { add, close, told } = merge(2_000)
    add(part(0, 3))
    add(part(500, 4))
    close(1_999)
    expect(told()).toEqual([])
    close(2_100)
    expect(told()).toEqual([{ startedAtMs: 0, durationMs: 2_100, share: 0, n: 7 }])
  })

  it.each<[string, Partial<ClosedInterval>]>([
    ['share', { share: 50_000 }],
    ['generation', { generation: 2 }],
    ['rollout', { rollout: { id: 'r', wave: 1 } }],
  ])('never spans a change of %s', (_, change) => {
    const { add, close, told } = merge(60_000)
    add(part(0, 3))
    add(part(500, 4, change))
    close(600, true)
    expect(told().map(({ n }) => n)).toEqual([3, 4])
  })

  it('keeps models apart and bounds how many are open', () => {
    const { add, told } = merge(60_000)
    for (let i = 0; i < 70; i++) add(part(0, i, { model: `m${i}` }))
    expect(told().map(({ n }) => n)).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('does not wait for ever when the clock was set back', () => {
    const { add, close, told } = merge(60_000)
    add(part(100_000, 1))
    close(50_000)
    expect(told()).toHaveLength(1)
  })
})
