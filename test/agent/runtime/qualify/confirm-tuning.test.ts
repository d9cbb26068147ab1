/** What was only compared is proved alone, in exactly its settings, before it is chosen. */
import { describe, expect, it } from 'vitest'
import {
  confirmTuning,
  type ProcessorWishes,
} from '../../../../agent/runtime/qualify/confirm-tuning.ts'
import type {
  Passed,
  QualifierAnswer,
  QualifierTask,
} from '../../../../agent/runtime/qualify/qualifier-protocol.ts'
import type { ProcessorSettings, Tuning } from '../../../../agent/runtime/qualify/tune-settings.ts'
import { unwrap } from '../../../../shared/kernel/result.ts'

const passed = (threads: number, steadyMsP50: number): Passed => ({
  outcome: 'passed',
  measured: {
    ...{ runtimeVersion: '1.30.0', goldenDifferenceMax: 0, threads, loadMs: 1, firstRunMs: 1 },
    ...{ steadyMsP50, steadyMsP95: steadyMsP50, residentMb: 100, peakMb: 120 },
  },
})
const FASTER: ProcessorSettings = { threads: 2, spinning: true }
const trial = (options: string, outcome: Tuning['tried'][number]['outcome']) => ({
  ...{ options, outcome, steadyMsP50: 1, reason: 'compared' },
})
const found = (settings: ProcessorSettings): Tuning => ({
  ...{ settings, budgetMs: 20_000, spentMs: 100 },
  tried: [trial('threads=1', 'passed'), trial('threads=2 spinning', 'chosen')],
})
const task = { provider: 'cpu', layout: null } as QualifierTask

async function confirm(proved: Passed, alone: QualifierAnswer, wishes: ProcessorWishes = {}) {
  const asked: QualifierTask[] = []
  const prove = async (one: QualifierTask) => {
    asked.push(one)
    return alone
  }
  return { asked, confirmed: await confirmTuning(task, proved, { prove, wishes }) }
}

describe('Settings that tuning found', () => {
  it('are proved alone in exactly these settings, and those figures are the release’s', async () => {
    const optimised = { path: '/tmp/file', bytesMax: 9 }
    const proved = { ...passed(1, 5), tuning: found(FASTER) }
    const { asked, confirmed } = await confirm(proved, passed(2, 3), { optimised })
    expect(asked).toMatchObject([{ settings: FASTER, optimised }])
    expect(unwrap(confirmed)).toMatchObject({ settings: FASTER, passed: passed(2, 3) })
  })

  it('that are the default are not proved twice', async () => {
    const proved = { ...passed(1, 5), tuning: found({ threads: 1 }) }
    const { asked, confirmed } = await confirm(proved, passed(1, 5))
    expect(asked).toEqual([])
    expect(unwrap(confirmed)).toMatchObject({ settings: { threads: 1 }, passed: proved })
  })

  it('and fail alone leave the default, which was proved, and the record says why', async () => {
    const problem = { code: 'qualify.golden_mismatch', message: 'Wrong results.', found: '0.5' }
    const refused = { outcome: 'refused', problem, goldenDifferenceMax: 0.5 } as const
    const proved = { ...passed(1, 5), tuning: found(FASTER) }
    const { settings, passed: kept, tuning } = unwrap((await confirm(proved, refused)).confirmed)
    expect(settings).toEqual({ threads: 1 })
    expect(kept).toBe(proved)
    expect(tuning?.tried).toEqual([
      trial('threads=1', 'chosen'),
      { ...trial('threads=2 spinning', 'refused'), reason: 'Wrong results. Found 0.5' },
    ])
  })

  it('are given up with the whole qualification when that is cancelled', async () => {
    const problem = { code: 'qualify.cancelled', message: 'Cancelled.' }
    const refused = { outcome: 'refused', problem, goldenDifferenceMax: null } as const
    const proved = { ...passed(1, 5), tuning: found(FASTER) }
    expect((await confirm(proved, refused)).confirmed).toEqual({ ok: false, error: problem })
  })

  it('of an earlier record stand as they were asked', async () => {
    const { confirmed } = await confirm(passed(2, 3), passed(2, 3), { settings: FASTER })
    expect(unwrap(confirmed).settings).toEqual(FASTER)
  })
})
