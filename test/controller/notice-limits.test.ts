/** What is kept of notices, hour by hour. */
import { expect, it } from 'vitest'
import type { Forgotten } from '../../controller/db/store.ts'
import { createNoticeLimits } from '../../controller/notice-limits.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

it('looks once an hour at the devices that spoke, and once a day at the age of all', () => {
  const forgotten: Forgotten[] = []
  const limits = createNoticeLimits({ forget: (what) => void forgotten.push(what) })
  const nowMs = 1_000 * DAY_MS
  limits.admit('d1', nowMs)
  limits.admit('d1', nowMs)
  limits.admit('d2', nowMs)
  limits.forget(nowMs)
  expect(forgotten.splice(0)).toEqual([
    { forgetNoticesOf: 'd1', keep: 1_000 },
    { forgetNoticesOf: 'd2', keep: 1_000 },
    { forgetNoticesBeforeMs: 910 * DAY_MS },
  ])
  limits.admit('d2', nowMs + HOUR_MS)
  limits.forget(nowMs + HOUR_MS)
  expect(forgotten.splice(0)).toEqual([{ forgetNoticesOf: 'd2', keep: 1_000 }])
  limits.forget(nowMs + DAY_MS)
  expect(forgotten).toEqual([{ forgetNoticesBeforeMs: 911 * DAY_MS }])
})
