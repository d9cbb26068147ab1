/** Every checker is shown a system that breaks its promise, and must say so. */
import { describe, expect, it } from 'vitest'
import type { StoreChange } from '../../controller/db/store.ts'
import { type FaultKind, NO_FAULTS, planOf } from './faults.ts'
import type { Sabotage } from './sabotage.ts'
import { simulate } from './simulation.ts'
import { countProblem } from './store-checkers.ts'

interface Row {
  readonly breaks: string
  readonly sabotage: Sabotage
  /** What must happen for it to show. */
  readonly faults: Partial<Record<FaultKind, number>>
  readonly violates: string
}

type Decision = Extract<StoreChange, { readonly put: 'decisions' }>

function isDecision(change: StoreChange): change is Decision {
  return 'put' in change && change.put === 'decisions'
}

function withoutVerdict(change: StoreChange): StoreChange {
  if (!isDecision(change)) return change
  return {
    put: 'decisions',
    row: { ...change.row, record: { ...change.row.record, verdict: null } },
  }
}

function doubled(change: StoreChange): StoreChange {
  if (!('put' in change) || change.put !== 'windows') return change
  const { window } = change.row
  return { put: 'windows', row: { ...change.row, window: { ...window, n: 2 * window.n } } }
}

const ROWS: readonly Row[] = [
  {
    breaks: 'a host that loads what stands under a name, unhashed',
    sabotage: { loadsUnverified: true },
    faults: { bit_rot: 1, power_cut: 1 },
    violates: 'S1',
  },
  {
    breaks: 'records that say promote without a verdict',
    sabotage: { tamper: (changes) => changes.map(withoutVerdict) },
    faults: {},
    violates: 'S3',
  },
  {
    breaks: 'garbage collection that takes what serves',
    sabotage: { greedyGarbage: true },
    faults: { power_cut: 1 },
    violates: 'S4',
  },
  {
    breaks: 'disks that forget what they called durable',
    sabotage: { lyingDisks: true },
    faults: { power_cut: 1 },
    violates: 'S6',
  },
  {
    breaks: 'windows that count twice',
    sabotage: { tamper: (changes) => changes.map(doubled) },
    faults: {},
    violates: 'S7',
  },
  {
    breaks: 'records that are lost',
    sabotage: { tamper: (changes) => changes.filter((change) => !isDecision(change)) },
    faults: {},
    violates: 'S9',
  },
  {
    breaks: 'a device that no assignment reaches',
    sabotage: { deaf: 'd0' },
    faults: {},
    violates: 'L1',
  },
]

describe('the checkers', () => {
  it.each(ROWS)('$violates sees $breaks', async ({ sabotage, faults, violates }) => {
    const result = await simulate({
      ...{ seed: 6, devices: 2, minutes: 30, sabotage, windowMs: 10_000, requestsPerS: 40 },
      faults: { ...NO_FAULTS, ...planOf((kind) => faults[kind] ?? 0) },
      versions: ['1.0.0', '1.1.0'],
      livenessMinutesMax: 30,
    })
    expect(result.violations.map(({ checker }) => checker)).toContain(violates)
  })

  it('S7 lets counts be lost where they may be, and never be more', () => {
    expect(countProblem(90, 100, false)).toBeUndefined()
    expect(countProblem(90, 100, true)).toBeDefined()
    expect(countProblem(101, 100, false)).toBeDefined()
  })
})
