/** The clock of a device is set while it serves: nothing that lasts notices. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { InferRequest } from '../../../../agent/data-plane.ts'
import { ok } from '../../../../shared/kernel/result.ts'
import { buildLive, buildPlane, SCORES } from '../plane-builder.ts'

const DAY_MS = 86_400_000

afterEach(() => void vi.useRealTimers())

describe.each([
  ['forward', DAY_MS],
  ['back', -DAY_MS],
])('A clock that is set a day %s', (_, jumpMs) => {
  const disclosure = { requestsPerMinuteMax: 1, requestsBurstMax: 3 }

  function build() {
    // Long after the device began, so that a day back is still a time.
    const run = { ms: 10 * DAY_MS }
    const plane = buildPlane({ nowMs: () => run.ms })
    plane.put(buildLive(() => SCORES(0.9, 0.1), { manifest: { disclosure } }))
    const ask = async (more: Partial<InferRequest> = {}) => {
      const answer = await plane.infer(
        {
          model: 'tiny',
          inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1, 2) }],
          arrivedAtMs: run.ms,
          ...more,
        },
        ({ arm }) => ok(arm),
      )
      return answer.ok ? answer.value : answer.error.code
    }
    const jump = () =>
      void vi.useFakeTimers({
        toFake: ['Date'],
        now: Date.now() + jumpMs,
        shouldAdvanceTime: false,
      })
    return { plane, run, ask, jump }
  }

  it('neither ends a deadline nor gives it more', async () => {
    const { run, ask, jump } = build()
    const arrivedAtMs = run.ms
    jump()
    expect(await ask({ arrivedAtMs, deadlineMs: 1_000 })).toBe('baseline')
    run.ms += 1_001
    expect(await ask({ arrivedAtMs, deadlineMs: 1_000 })).toBe('infer.deadline')
  })

  it('neither fills a rate limit nor empties it', async () => {
    const { run, ask, jump } = build()
    expect([await ask(), await ask()]).toEqual(['baseline', 'baseline'])
    jump()
    expect([await ask(), await ask()]).toEqual(['baseline', 'infer.rate_limited'])
    run.ms += 60_000
    expect([await ask(), await ask()]).toEqual(['baseline', 'infer.rate_limited'])
  })

  it('ends no stream', async () => {
    const { ask, jump } = build()
    const stream = { id: 'a', start: false, end: false }
    expect(await ask({ stream: { ...stream, start: true } })).toBe('baseline')
    jump()
    expect(await ask({ stream })).toBe('baseline')
  })

  it('neither lengthens nor shortens an interval of telemetry', async () => {
    const { plane, ask, jump } = build()
    await ask()
    jump()
    const [interval] = plane.flush()
    expect(interval?.arms[0]?.window.n).toBe(1)
    expect(interval?.durationMs).toBeLessThan(DAY_MS / 2)
  })
})
