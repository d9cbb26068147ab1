/**
 * What happens when the spool is full: intervals of the oldest day that has several merge, so that
 * a week offline costs a bounded number of bytes and its days are still told apart; when none is
 * left to merge, the oldest unsent one goes, counted.
 */
import type { DeviceNotice } from '../shared/model/device.ts'
import type { SpooledInterval } from '../shared/protocol/spool-record.ts'
import type { Journal } from './spool-journal.ts'
import { dayKey, mergeIntervals } from './spool-merge.ts'

export function unsentIntervals(journal: Journal): SpooledInterval[] {
  return journal
    .entries()
    .filter((entry) => entry.kind === 'interval')
    .filter((entry) => entry.stamp === null)
}

function byStart(a: SpooledInterval, b: SpooledInterval): number {
  return a.interval.startedAtMs - b.interval.startedAtMs
}

/** Merges two intervals of the oldest day that has several; false when no day has. */
export function coarsenOldestDay(journal: Journal): boolean {
  const firstOfDay = new Map<string, SpooledInterval>()
  for (const entry of unsentIntervals(journal).toSorted(byStart)) {
    const key = dayKey(entry.interval)
    const first = firstOfDay.get(key)
    const merged = first && mergeIntervals(first.interval, entry.interval)
    if (first === undefined || merged === undefined) {
      firstOfDay.set(key, entry)
      continue
    }
    journal.write(['put', { ...first, interval: merged }])
    journal.write(['forget', [entry.id]])
    return true
  }
  return false
}

/** @returns undefined when everything has been sent once and may not be dropped. */
export function dropOldest(journal: Journal): SpooledInterval | undefined {
  const oldest = unsentIntervals(journal).toSorted(byStart)[0]
  if (oldest !== undefined) journal.write(['forget', [oldest.id]])
  return oldest
}

export interface Dropped {
  readonly windows: number
  readonly requests: number
}

/** Tells of dropped windows: one notice, brought up to date while it waits for its first send. */
export function tellDropped(journal: Journal, dropped: Dropped, nowMs: number): void {
  const waiting = journal
    .entries()
    .filter((entry) => entry.kind === 'notice')
    .find((entry) => entry.notice.kind === 'spool_overflow' && entry.stamp === null)
  const notice: DeviceNotice = {
    kind: 'spool_overflow',
    atMs: nowMs,
    subject: 'telemetry',
    problem: {
      code: 'spool.overflow',
      message: 'Telemetry windows were dropped: the spool was full, or they were too large.',
      found: `${dropped.windows} windows of ${dropped.requests} requests since the start`,
    },
  }
  const id = waiting?.id ?? journal.nextId()
  journal.write(['put', { kind: 'notice', id, stamp: null, notice }])
}
