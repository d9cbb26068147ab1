import { describe, expect, it } from 'vitest'
import type { ClosedInterval, RuntimeEvent } from '../../../agent/ports.ts'
import type { Behaviour } from '../../../agent/runtime/fake-behaviour.ts'
import { HEALTHY } from '../../../agent/runtime/fake-behaviour.ts'
import {
  drawBinomial,
  drawPoisson,
  standardNormalTail,
} from '../../../agent/runtime/fake-counts.ts'
import { createFakeRuntime } from '../../../agent/runtime/fake-runtime.ts'
import { createPrng } from '../../../shared/kernel/prng.ts'
import { windowFromJson } from '../../../shared/sketch/window-check.ts'
import { runtimeContract } from '../../contract/runtime.contract.ts'
import { createBenchReleases } from './bench-releases.ts'
import { served } from './release-builder.ts'
import { createVirtualClock } from './virtual-clock.ts'

const problem = (code: string) => ({ code, message: 'Simulated.' })

runtimeContract('The fake runtime', async () => {
  const clock = createVirtualClock()
  const { folder, dispose, ...releases } = createBenchReleases()
  const runtime = createFakeRuntime({
    clock,
    prng: createPrng('contract'),
    requestsPerS: 50,
    behaviours: new Map<string, Behaviour>([
      [
        releases.wrong.release.sha256,
        { ...HEALTHY, qualificationProblem: problem('qualify.golden_mismatch') },
      ],
      [
        releases.unloadable.release.sha256,
        { ...HEALTHY, loadProblem: problem('runtime.load_failed') },
      ],
    ]),
  })
  return {
    runtime,
    ...releases,
    served: (release) => served(folder, release),
    settle: (promise) => {
      clock.advance(1_000)
      return promise
    },
    traffic: async () => clock.advance(1_500),
    killHost: async () => runtime.crashHost(),
    pass: async (ms) => clock.advance(ms),
    dispose: async () => dispose(),
  }
})

describe('A simulated release', () => {
  const { folder, good, dispose } = createBenchReleases()

  it('shows its error rate, latency and accuracy in windows that the ingest accepts', async () => {
    const clock = createVirtualClock()
    const behaviour = { ...HEALTHY, errorRate: 0.1, accuracy: 0.8, latencyMsMedian: 1_000 }
    const behaviours = new Map([[good.release.sha256, behaviour]])
    const prng = createPrng('behaviour')
    const runtime = createFakeRuntime({ clock, prng, behaviours, requestsPerS: 100 })
    const intervals: ClosedInterval[] = []
    runtime.onEvent((event: RuntimeEvent) => {
      if (event.kind === 'interval') intervals.push(event.interval)
    })
    const current = served(folder, good)
    const model = { model: 'tiny', current, candidate: null, previous: null, rollout: null }
    void runtime.serve({
      generation: 1,
      windowMs: 60_000,
      models: [{ ...model, trafficShare: 0, shadow: 0 }],
    })
    clock.advance(600_000)
    const windows = intervals.flatMap(({ arms }) => arms.map(({ window }) => window))
    expect(windows).toHaveLength(10)
    for (const window of windows) expect(windowFromJson(window).ok).toBe(true)
    const sum = (pick: (window: (typeof windows)[number]) => number) =>
      windows.reduce((total, window) => total + pick(window), 0)
    const n = sum((window) => window.n)
    expect(n / 60_000).toBeCloseTo(1, 1)
    expect(sum((window) => window.errors.internal) / n).toBeCloseTo(0.1, 2)
    // The limit is 1,000 ms, the median: half of the answered requests are late.
    expect(sum((window) => window.nBad.latency) / (0.9 * n)).toBeCloseTo(0.5, 2)
    const labelled = sum((window) => window.labels.labelled)
    expect(sum((window) => window.labels.correct) / labelled).toBeCloseTo(0.8, 1)
    dispose()
  })
})

describe('Aggregate draws', () => {
  it.each([
    [10, 0.3],
    [1_000, 0.001],
    [1_000, 0.5],
    [100_000, 0.999],
  ])('of Binomial(%i, %f) have its mean and variance', (n, p) => {
    const prng = createPrng(`binomial ${n} ${p}`)
    const draws = Array.from({ length: 4_000 }, () => drawBinomial(prng, n, p))
    expect(draws.every((k) => Number.isInteger(k) && k >= 0 && k <= n)).toBe(true)
    const mean = draws.reduce((sum, k) => sum + k, 0) / draws.length
    const variance = draws.reduce((sum, k) => sum + (k - mean) ** 2, 0) / draws.length
    const sd = Math.sqrt(n * p * (1 - p))
    expect(Math.abs(mean - n * p)).toBeLessThan((4 * sd) / Math.sqrt(draws.length))
    expect(variance / sd ** 2).toBeGreaterThan(0.9)
    expect(variance / sd ** 2).toBeLessThan(1.1)
  })

  it('of a Poisson process have its mean', () => {
    const prng = createPrng('poisson')
    for (const mean of [0.5, 10, 500]) {
      const sum = Array.from({ length: 2_000 }, () => drawPoisson(prng, mean)).reduce(
        (a, b) => a + b,
      )
      expect(Math.abs(sum / 2_000 - mean)).toBeLessThan(4 * Math.sqrt(mean / 2_000))
    }
  })

  it('know the normal tail', () => {
    expect(standardNormalTail(0)).toBeCloseTo(0.5, 6)
    expect(standardNormalTail(1.6448536)).toBeCloseTo(0.05, 6)
    expect(standardNormalTail(-1)).toBeCloseTo(0.8413447, 6)
  })
})
