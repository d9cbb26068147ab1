/**
 * Refusals that repeat. Whoever can send a device forged messages can send thousands; a person needs
 * to know that it happens, since when, and how often.
 *
 * Invariants: of one kind of notice, subject and code `times` are told an hour and the rest is counted;
 * the next one that is told carries the count. That an attack goes on is reported once a minute, with
 * its newest time. `TOLD_MAX` are remembered, and beyond that the oldest is told as if it were new.
 */
import type { AttackReport, DeviceNotice } from '../model/device.ts'
import type { DeviceState, Told } from './state.ts'

const HOUR_MS = 3_600_000
const REPORT_AGAIN_MS = 60_000
const TOLD_MAX = 32

export interface Telling {
  readonly state: DeviceState
  /** Undefined where it was told often enough. */
  readonly notice: DeviceNotice | undefined
  /** Whether what is reported of attacks is due to be sent. */
  readonly isReportDue: boolean
}

/** @param tellsMax how often in an hour. */
export function tellBounded(state: DeviceState, notice: DeviceNotice, tellsMax: number): Telling {
  const { kind, subject, atMs, problem, attack } = notice
  const isSame = (other: Told) =>
    other.kind === kind && other.subject === subject && other.code === problem.code
  const before = state.told.find(isSame)
  const isLately = before !== undefined && isWithin(atMs - before.sinceMs, HOUR_MS)
  const times = isLately ? before.times + 1 : 1
  const isTold = times <= tellsMax
  const isReportDue =
    attack !== undefined &&
    (isTold || before === undefined || !isWithin(atMs - before.reportedAtMs, REPORT_AGAIN_MS))
  const reportedAtMs = isReportDue ? atMs : (before?.reportedAtMs ?? atMs)
  const sinceMs = isLately ? before.sinceMs : atMs
  const entry: Told = { kind, subject, code: problem.code, sinceMs, times, reportedAtMs }
  const told = [...state.told.filter((other) => !isSame(other)), entry].slice(-TOLD_MAX)
  const untold = isLately ? 0 : Math.max(0, (before?.times ?? 0) - tellsMax)
  const counted = untold === 0 ? notice : { ...notice, times: untold + 1 }
  const next = withAttack({ ...state, told }, notice)
  return { state: next, notice: isTold ? counted : undefined, isReportDue }
}

/** A clock that was set back must not silence anything. */
function isWithin(ageMs: number, limitMs: number): boolean {
  return ageMs >= 0 && ageMs < limitMs
}

/** Remembers the newest of each kind for the report. */
export function withAttack(state: DeviceState, notice: DeviceNotice): DeviceState {
  const { attack: kind, subject, atMs } = notice
  if (kind === undefined) return state
  const attacks: AttackReport[] = state.attacks.filter((entry) => entry.kind !== kind)
  return { ...state, attacks: [...attacks, { kind, subject, atMs }] }
}
