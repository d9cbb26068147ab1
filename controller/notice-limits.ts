/**
 * How many notices are kept: whoever has the credentials of one device can say what he likes.
 *
 * Invariants: of one device at most `PER_MINUTE_MAX` a minute are taken, the others are counted as
 * refused and acknowledged; once an hour all but its newest `KEPT_MAX` go, and once a day those that
 * are older than `KEPT_MS`. The memory is one entry for each device that said something since.
 */
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import type { Ledger } from './ledger.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const PER_MINUTE_MAX = 60
const KEPT_MAX = 1_000
const KEPT_MS = 90 * DAY_MS

export interface NoticeLimits {
  /** Code `notice.too_many`. */
  admit(device: string, nowMs: number): Result<undefined>
  /** To be called once an hour. */
  forget(nowMs: number): void
}

export function createNoticeLimits(ledger: Pick<Ledger, 'forget'>): NoticeLimits {
  const said = new Map<string, { minute: number; inMinute: number }>()
  let day = Number.NEGATIVE_INFINITY
  return {
    admit(device, nowMs) {
      const minute = Math.floor(nowMs / MINUTE_MS)
      const before = said.get(device)
      const inMinute = before?.minute === minute ? before.inMinute + 1 : 1
      said.set(device, { minute, inMinute })
      if (inMinute <= PER_MINUTE_MAX) return ok()
      return refuse('notice.too_many', 'The device says more than anybody can read.', {
        expected: `at most ${PER_MINUTE_MAX} notices a minute`,
      })
    },
    forget(nowMs) {
      for (const device of said.keys()) ledger.forget({ forgetNoticesOf: device, keep: KEPT_MAX })
      said.clear()
      const today = Math.floor(nowMs / DAY_MS)
      if (today === day) return
      day = today
      ledger.forget({ forgetNoticesBeforeMs: nowMs - KEPT_MS })
    },
  }
}
