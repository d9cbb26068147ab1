/**
 * How an artifact was qualified on a device, in words for CLI and console: measured figures, and what
 * was compared before its settings were chosen. What a device could not measure is "unknown".
 */
import type { Batching, Qualification } from '../model/device.ts'
import type { Status } from './status.ts'
import type { Table } from './text-table.ts'

type Trial = NonNullable<Qualification['tuning']>['tried'][number]

const TRIAL_STATUS: Readonly<Record<Trial['outcome'], Status>> = {
  chosen: { word: 'chosen', glyph: '✓', tone: 'good' },
  passed: { word: 'not chosen', glyph: '·', tone: 'idle' },
  refused: { word: 'refused', glyph: '✗', tone: 'bad' },
  skipped: { word: 'not tried', glyph: '·', tone: 'idle' },
}
const KEPT: Status = { word: 'kept', glyph: '✓', tone: 'good' }
const NOT_KEPT: Status = { word: 'not kept', glyph: '·', tone: 'idle' }
const CUT: Status = { word: 'cut short', glyph: '!', tone: 'warn' }

/** Name and value, in the order in which they are met: load, first run, steady, memory. */
export function qualificationFigures(
  record: Qualification,
): readonly (readonly [string, string])[] {
  return [
    ['load', milliseconds(record.loadMs)],
    ['first run', milliseconds(record.firstRunMs)],
    ['steady p50', milliseconds(record.steadyMsP50)],
    ['steady p95', milliseconds(record.steadyMsP95)],
    ['resident', megabytes(record.residentMb)],
    ['peak', megabytes(record.peakMb)],
  ]
}

export interface TrialLine {
  readonly what: string
  readonly status: Status
  readonly steady: string
  readonly why: string
}

/** Everything that was tried beyond the proof, and why it was taken or not. */
export function trialLines(record: Qualification): readonly TrialLine[] {
  const { tuning, optimised, batching, cut } = record
  const lines = (tuning?.tried ?? []).map(({ options, outcome, steadyMsP50, reason }) => ({
    what: options,
    status: TRIAL_STATUS[outcome],
    steady: steadyMsP50 === null ? '-' : milliseconds(steadyMsP50),
    why: reason,
  }))
  if (optimised !== undefined) {
    const status = optimised.kept ? KEPT : NOT_KEPT
    lines.push({ what: 'optimised file', status, steady: '-', why: optimised.reason })
  }
  if (batching !== undefined) lines.push(...batchLines(batching))
  if (cut !== undefined) lines.push({ what: 'the rest', status: CUT, steady: '-', why: cut })
  return lines
}

/** One line for each size that was tried; its time is that of one request in such a run. */
function batchLines({ chosen, reason, singleMs, tried }: Batching): TrialLine[] {
  const lines = tried.map(({ rows, msPerRequest }) => {
    const isChosen = rows === chosen
    const outcome = msPerRequest === null ? 'refused' : isChosen ? 'chosen' : 'passed'
    const gain =
      msPerRequest === null ? '' : `${(singleMs / msPerRequest).toFixed(2)} times as fast`
    return {
      what: `batch of ${rows}`,
      status: TRIAL_STATUS[outcome],
      steady: msPerRequest === null ? '-' : milliseconds(msPerRequest),
      why: msPerRequest === null ? reason : `${gain} as one by one`,
    }
  })
  if (lines.length > 0) return lines
  return [{ what: 'batches', status: TRIAL_STATUS.skipped, steady: '-', why: reason }]
}

/** @param nameOf the release that an artifact is known by. */
export function figureTable(
  records: readonly Qualification[],
  nameOf: (sha256: string) => string,
): Table {
  const [first] = records
  const names = first === undefined ? [] : qualificationFigures(first).map(([name]) => name)
  return {
    columns: ['RELEASE', ...names.map((name) => name.toUpperCase())],
    rows: records.map((record) => [
      nameOf(record.sha256),
      ...qualificationFigures(record).map(([, value]) => value),
    ]),
  }
}

export function trialTable(
  records: readonly Qualification[],
  nameOf: (sha256: string) => string,
): Table {
  return {
    columns: ['RELEASE', 'SETTINGS', 'OUTCOME', 'P50', 'WHY'],
    rows: records.flatMap((record) =>
      trialLines(record).map(({ what, status, steady, why }) => [
        ...[nameOf(record.sha256), what, status, steady, why],
      ]),
    ),
  }
}

/** With the digits that matter: 0.42, 7.5, 512. */
function milliseconds(ms: number): string {
  return `${ms < 1 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`
}

function megabytes(mb: number | null | undefined): string {
  return mb === null || mb === undefined || mb === 0 ? 'unknown' : `${Math.round(mb)} MB`
}
