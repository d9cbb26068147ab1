/** The search for faster settings, on a virtual clock: what each setting takes is the test's to say. */
import { describe, expect, it } from 'vitest'
import {
  describeSettings,
  type ProcessorSettings,
  type TuningBench,
  tuneSettings,
} from '../../../../agent/runtime/qualify/tune-settings.ts'
import { createPrng } from '../../../../shared/kernel/prng.ts'
import { ok, refuse, unwrap } from '../../../../shared/kernel/result.ts'

const LOAD_MS = 20

interface World {
  readonly threadsMax?: number
  readonly budgetMs?: number
  /** Milliseconds of a run by settings; what is not named takes as long as the default. */
  readonly runMs: Readonly<Record<string, number>>
  readonly wrong?: readonly string[]
  /** Another process that takes the machine now and then: each `n`th run takes 10 ms longer. */
  readonly disturbedEvery?: number
  /** Other processes: each run takes up to four times as long. */
  readonly noiseSeed?: string
}

function worldBench({ threadsMax = 4, budgetMs = 20_000, runMs, wrong = [], ...rest }: World) {
  const prng = createPrng(rest.noiseSeed ?? '')
  let nowMs = 0
  let runs = 0
  const open = new Set<string>()
  const bench: TuningBench = {
    ...{ threadsMax, budgetMs, nowMs: () => nowMs },
    async open(settings: ProcessorSettings) {
      const name = describeSettings(settings)
      nowMs += LOAD_MS
      if (wrong.includes(name)) return refuse('qualify.golden_mismatch', 'Wrong results.')
      open.add(name)
      return ok({
        async run() {
          runs += 1
          const extraMs = runs % (rest.disturbedEvery ?? Number.POSITIVE_INFINITY) === 0 ? 10 : 0
          const times = rest.noiseSeed === undefined ? 1 : 1 + 3 * prng.unit()
          const tookMs = (runMs[name] ?? runMs['threads=1'] ?? 1) * times + extraMs
          nowMs += tookMs
          return tookMs
        },
        async release() {
          expect(open.delete(name)).toBe(true)
        },
      })
    },
  }
  return { bench, open, nowMs: () => nowMs }
}

async function tune(world: World) {
  const { bench, open, nowMs } = worldBench(world)
  const tuning = unwrap(await tuneSettings(bench))
  expect([...open], 'all sessions are released').toEqual([])
  const outcomes = Object.fromEntries(tuning.tried.map((trial) => [trial.options, trial.outcome]))
  return { tuning, outcomes, chosen: describeSettings(tuning.settings), nowMs: nowMs() }
}

describe('Tuning', () => {
  it('keeps the default where nothing is faster by more than a tenth', async () => {
    const { tuning, chosen, outcomes } = await tune({
      runMs: { 'threads=1': 10, 'threads=2': 9.1 },
    })
    expect(chosen).toBe('threads=1')
    expect(outcomes).toEqual({
      ...{ 'threads=1': 'chosen', 'threads=2': 'passed', 'threads=3': 'passed' },
      ...{ 'threads=4': 'passed', 'threads=1 graph=extended': 'passed' },
      ...{ 'threads=1 graph=basic': 'passed', 'threads=1 graph=disabled': 'passed' },
    })
    expect(tuning.tried[1]?.reason).toBe(
      '1.10 times as fast, over 1.1 in 0 of 79 pairs: 9.10 ms against 10.00 ms of threads=1',
    )
  })

  it('takes the best number of threads, then spinning, then the graph level, each on its own gain', async () => {
    const { tuning, chosen, outcomes } = await tune({
      runMs: {
        ...{ 'threads=1': 10, 'threads=2': 6, 'threads=3': 5, 'threads=4': 5.5 },
        ...{ 'threads=3 spinning': 4, 'threads=3 spinning graph=basic': 3 },
      },
    })
    expect(chosen).toBe('threads=3 spinning graph=basic')
    expect(tuning.settings).toEqual({ threads: 3, spinning: true, graph: 'basic' })
    expect(outcomes['threads=3']).toBe('passed')
    expect(tuning.tried.filter(({ outcome }) => outcome === 'chosen')).toHaveLength(1)
  })

  it('never chooses settings whose golden outputs are wrong, however fast', async () => {
    const { chosen, outcomes } = await tune({
      runMs: { 'threads=1': 10, 'threads=2': 1, 'threads=4': 6 },
      wrong: ['threads=2'],
    })
    expect(outcomes['threads=2']).toBe('refused')
    expect(chosen).toBe('threads=4')
  })

  it('tries no threads and no spinning where one thread is all there is', async () => {
    const { outcomes } = await tune({ threadsMax: 1, runMs: { 'threads=1': 10 } })
    expect(Object.keys(outcomes)).toEqual([
      ...['threads=1', 'threads=1 graph=extended', 'threads=1 graph=basic'],
      'threads=1 graph=disabled',
    ])
  })

  it('ends in its budget, and says what was left out', async () => {
    const { tuning, outcomes, nowMs } = await tune({
      budgetMs: 2_000,
      runMs: { 'threads=1': 150, 'threads=2': 75 },
    })
    expect(nowMs).toBeLessThan(2_500)
    expect(tuning.settings.threads).toBe(2)
    expect(outcomes['threads=4']).toBe('skipped')
    expect(tuning.tried.find(({ options }) => options === 'threads=4')?.reason).toContain('time')
  })

  it('is not misled by what else the machine does', async () => {
    const { chosen } = await tune({
      runMs: { 'threads=1': 5, 'threads=2': 4, 'threads=3': 4.9 },
      disturbedEvery: 3,
    })
    expect(chosen).toBe('threads=2')
  })

  it('chooses nothing by chance on a machine that is busy with something else', async () => {
    let chosen = 0
    for (let seed = 0; seed < 40; seed++) {
      const { tuning } = await tune({
        threadsMax: 1,
        runMs: { 'threads=1': 20 },
        noiseSeed: `${seed}`,
      })
      if (tuning.settings.graph !== undefined) chosen += 1
    }
    // Three comparisons each: one in forty by chance would be three.
    expect(chosen).toBeLessThanOrEqual(5)
  })

  it('has no result where the default itself fails', async () => {
    const { bench } = worldBench({ runMs: {}, wrong: ['threads=1'] })
    expect(await tuneSettings(bench)).toMatchObject({
      ok: false,
      error: { code: 'qualify.golden_mismatch' },
    })
  })
})
