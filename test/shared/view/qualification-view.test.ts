/** What people read of a qualification: figures, and why one setting was taken and others were not. */
import { describe, expect, it } from 'vitest'
import type { Qualification } from '../../../shared/model/device.ts'
import {
  figureTable,
  qualificationFigures,
  trialLines,
  trialTable,
} from '../../../shared/view/qualification-view.ts'

const record: Qualification = {
  ...{ sha256: 'a'.repeat(64), runtimeVersion: '1.30.0', chosen: 'cpu', attempts: [], threads: 2 },
  ...{ loadMs: 41.23, firstRunMs: 3.94, steadyMsP50: 0.614, steadyMsP95: 0.88 },
  ...{ residentMb: 121.4, peakMb: 240.6 },
  tuning: {
    ...{ budgetMs: 20_000, spentMs: 3_200 },
    tried: [
      { options: 'threads=1', outcome: 'passed', steadyMsP50: 1, reason: 'the default' },
      { options: 'threads=2', outcome: 'chosen', steadyMsP50: 0.6, reason: '1.67 times as fast' },
      { options: 'threads=3', outcome: 'skipped', steadyMsP50: null, reason: 'no time' },
    ],
  },
  optimised: {
    ...{ kept: false, sha256: '', length: 102_154_550, loadMs: null, sourceLoadMs: null },
    reason: 'it has 102154550 bytes, 33634202 are allowed',
  },
}

describe('A qualification in words', () => {
  it('has its figures with the digits that matter', () => {
    expect(qualificationFigures(record)).toEqual([
      ['load', '41.2 ms'],
      ['first run', '3.9 ms'],
      ['steady p50', '0.61 ms'],
      ['steady p95', '0.88 ms'],
      ['resident', '121 MB'],
      ['peak', '241 MB'],
    ])
  })

  it.each([[null], [undefined]])('says unknown where the system does not tell: %s', (peakMb) => {
    const silent = { ...record, residentMb: 0, peakMb } as Qualification
    expect(qualificationFigures(silent).slice(-2)).toEqual([
      ['resident', 'unknown'],
      ['peak', 'unknown'],
    ])
  })

  it('tells each setting that was compared, the optimised file, and what was cut short', () => {
    const lines = trialLines({ ...record, cut: 'The model ended the process.' })
    expect(lines.map(({ what, status, steady }) => [what, status.word, steady])).toEqual([
      ['threads=1', 'not chosen', '1.0 ms'],
      ['threads=2', 'chosen', '0.60 ms'],
      ['threads=3', 'not tried', '-'],
      ['optimised file', 'not kept', '-'],
      ['the rest', 'cut short', '-'],
    ])
    expect(lines[3]?.why).toBe('it has 102154550 bytes, 33634202 are allowed')
  })

  it('tells each batch that was tried, and why requests do not run together', () => {
    const tried = (rows: number, msPerRequest: number | null) => ({
      ...{ rows, msPerRequest, differenceMax: msPerRequest === null ? null : 0 },
    })
    const linesOf = (batching: Qualification['batching']) =>
      trialLines({ ...record, tuning: undefined, optimised: undefined, batching }).map(
        ({ what, status, steady, why }) => [what, status.word, steady, why].join(' | '),
      )
    const sizes = [tried(2, 0.1), tried(4, 0.05)]
    expect(linesOf({ chosen: 4, reason: '', singleMs: 0.14, tried: sizes })).toEqual([
      'batch of 2 | not chosen | 0.10 ms | 1.40 times as fast as one by one',
      'batch of 4 | chosen | 0.05 ms | 2.80 times as fast as one by one',
    ])
    const wrong = 'in a batch of 2: y[0] is off'
    expect(linesOf({ chosen: 1, reason: wrong, singleMs: 0, tried: [tried(2, null)] })).toEqual([
      `batch of 2 | refused | - | ${wrong}`,
    ])
    const fixed = 'no input has a free dimension'
    expect(linesOf({ chosen: 1, reason: fixed, singleMs: 0, tried: [] })).toEqual([
      `batches | not tried | - | ${fixed}`,
    ])
  })

  it('is a row for each release, and nothing for a device without records', () => {
    const nameOf = (sha256: string) => `motor ${sha256.slice(0, 2)}`
    expect(figureTable([record], nameOf).rows).toEqual([
      ['motor aa', '41.2 ms', '3.9 ms', '0.61 ms', '0.88 ms', '121 MB', '241 MB'],
    ])
    expect(trialTable([record], nameOf).rows).toHaveLength(4)
    expect(figureTable([], nameOf).rows).toEqual([])
  })
})
