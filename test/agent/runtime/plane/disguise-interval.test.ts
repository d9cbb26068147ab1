/** Where noise is put on counts: once, when an interval is closed, before anything keeps it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { ClosedInterval } from '../../../../agent/ports.ts'
import { createNodeRuntime } from '../../../../agent/runtime/node-runtime.ts'
import {
  disguiseInterval,
  secureUint32,
} from '../../../../agent/runtime/plane/disguise-interval.ts'
import { createIntervalMerge } from '../../../../agent/runtime/plane/interval-merge.ts'
import { toHex } from '../../../../shared/kernel/bytes.ts'
import { createPrng } from '../../../../shared/kernel/prng.ts'
import { ok, unwrap } from '../../../../shared/kernel/result.ts'
import { encodeMessage } from '../../../../shared/protocol/codec.ts'
import { telemetrySchema } from '../../../../shared/protocol/messages.ts'
import { createLatencyHistogram } from '../../../../shared/sketch/latency-histogram.ts'
import { byKey, LATENCY_PARTS, type Window } from '../../../../shared/sketch/window.ts'
import { buildLive, buildPlane, SCORES } from '../plane-builder.ts'
import { PROFILE, served, writeRelease } from '../release-builder.ts'

const FEATURE = { name: 'x0', tensor: 'x', reduce: 'element' as const, offset: 0, count: 1 }
const REFERENCE = {
  ...{ feature: 'x0', edges: [-1, 0, 1], counts: [10, 10, 10, 10], mean: 0, sd: 1 },
  autocorrelationRows: 1,
}
const INTERVALS = 8
const NOISY = { disclosure: { countNoise: { epsilon: 0.001 } } }

async function countedBy(
  requests: number,
  manifest: object,
  values: readonly number[] = [0.5],
): Promise<ClosedInterval> {
  const plane = buildPlane()
  const about = { features: [FEATURE], reference: [REFERENCE], ...manifest }
  plane.put(buildLive(() => SCORES(0.9, 0.1), { manifest: about }))
  for (let i = 0; i < requests; i++) {
    const data = Float32Array.of(values[i % values.length]!, 0)
    const inputs = [{ name: 'x', datatype: 'FP32' as const, shape: [1, 2], data }]
    await plane.infer({ model: 'tiny', inputs, arrivedAtMs: performance.now() }, ok)
  }
  return plane.flush()[0]!
}
/** How long the requests took is not what these tests are about. */
const withoutTimes = (window: Window): Window => ({
  ...window,
  latency: byKey(LATENCY_PARTS, createLatencyHistogram),
  nBad: { latency: 0 },
})
const uint32 = () => {
  const prng = createPrng('disguise')
  return () => prng.u32()
}
const message = (interval: ClosedInterval) =>
  telemetrySchema.safeParse({ ...interval, boot: 'b', seq: 1 })

describe('An interval', () => {
  it('of a release without the policy leaves as it is, where it holds many values', async () => {
    const interval = await countedBy(20, {}, [0.25, 0.75])
    expect(disguiseInterval(interval, uint32())).toBe(interval)
    const { bins, deviation } = interval.arms[0]!.window.features[0]!
    expect([bins, deviation]).toEqual([[0, 0, 20, 0], 10 * (64 + 192)])
  })

  it('of few values tells their bins and nothing else of them', async () => {
    const sent = async (...values: number[]) => {
      const interval = await countedBy(values.length, {}, values)
      // Nothing can be sent that was not looked at.
      expect(message(interval).success).toBe(false)
      const { arms } = disguiseInterval(interval, uint32())
      const arm = { ...arms[0]!, window: withoutTimes(arms[0]!.window) }
      const about = { model: 'tiny', generation: 1, rollout: null, share: 0, boot: 'b', seq: 1 }
      const telemetry = { ...about, startedAtMs: 0, durationMs: 1, arms: [arm] }
      return toHex(encodeMessage('telemetry', telemetrySchema.parse(telemetry)))
    }
    // The middle of its bin: a value that was seen, were it told.
    const alone = await sent(0.123456)
    expect(alone).toBe(await sent(0.987654))
    expect(await sent(0.123456, -0.7)).toBe(await sent(-0.25, 0.5))
    expect(await sent(...Array<number>(19).fill(0.3))).toBe(
      await sent(...Array.from({ length: 19 }, (_, i) => i / 19)),
    )
    expect(alone).not.toBe(await sent(-0.123456))
  })

  it('of few values becomes one of many by merging, before it is looked at', async () => {
    const emitted: ClosedInterval[] = []
    const merge = createIntervalMerge(
      () => 60_000,
      (interval) => emitted.push(interval),
    )
    for (let i = 0; i < 2; i++) merge.add(await countedBy(10, {}, [0.25]))
    merge.close(true)
    const { window } = disguiseInterval(emitted[0]!, uint32()).arms[0]!
    expect(window.features[0]).toMatchObject({ bins: [0, 0, 20, 0], deviation: 20 * 64 })
    expect(message(disguiseInterval(emitted[0]!, uint32())).success).toBe(true)
  })

  it('of a release with the policy cannot be sent before it has its noise', async () => {
    const interval = await countedBy(200, NOISY)
    expect(message(interval).success).toBe(false)
    const disguised = disguiseInterval(interval, uint32())
    expect(message(disguised).success).toBe(true)
    expect(disguised.arms[0]).not.toHaveProperty('noise')
    const window = disguised.arms[0]?.window
    expect(window?.n).toBe(200)
    expect(window?.features[0]?.bins).not.toEqual([0, 0, 200, 0])
  })

  it('carries the policy through every merge in the control process', async () => {
    const emitted: ClosedInterval[] = []
    const merge = createIntervalMerge(
      () => 60_000,
      (interval) => emitted.push(interval),
    )
    for (let i = 0; i < 3; i++) merge.add(await countedBy(10, NOISY))
    merge.close(true)
    expect(emitted.map(({ arms }) => [arms[0]?.window.n, arms[0]?.noise?.epsilon])).toEqual([
      [30, 0.001],
    ])
  })
})

describe('The runtime of a device', { timeout: 60_000 }, () => {
  it('lets no exact counts out of a release with the policy', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'linnet-noise-'))
    const release = writeRelease(folder, { manifest: NOISY })
    const runtime = createNodeRuntime({
      ...{ device: 'device-1', boot: 'boot-1', profile: PROFILE, socketPath: null },
      directory: join(folder, 'runtime'),
      artifactPath: (sha256) => join(folder, sha256),
      listen: { host: '127.0.0.1', port: 0 },
      limits: { flushMs: 50 },
    })
    onTestFinished(async () => {
      await runtime.close()
      rmSync(folder, { recursive: true, force: true })
    })
    const intervals: ClosedInterval[] = []
    runtime.onEvent((event) => void (event.kind === 'interval' && intervals.push(event.interval)))
    const nothing = { candidate: null, previous: null, trafficShare: 0, shadow: 0, rollout: null }
    const models = [{ model: 'tiny', current: served(folder, release), ...nothing }]
    expect(await runtime.serve({ generation: 1, windowMs: 500, models })).toEqual({ served: true })
    const { port } = unwrap(await runtime.address())
    const input = { name: 'x', datatype: 'FP32', shape: [1, 2], data: [0.5, 0] }
    // One interval in sixteen looks exact: its noise is cut at zero and at all of its requests.
    let asked = 0
    while (intervals.length < INTERVALS) {
      const url = `http://127.0.0.1:${port}/v2/models/tiny/infer`
      await (await fetch(url, { method: 'POST', body: JSON.stringify({ inputs: [input] }) })).text()
      asked += 1
    }
    const counted = () => intervals.reduce((sum, { arms }) => sum + (arms[0]?.window.n ?? 0), 0)
    await vi.waitFor(() => expect(counted()).toBe(asked), 50_000)
    for (const interval of intervals) expect(message(interval).success).toBe(true)
    const inBin = intervals.map(({ arms }) => arms[0]?.window.features[0]?.bins)
    expect(inBin).not.toEqual(intervals.map(({ arms }) => [0, 0, arms[0]?.window.n, 0]))
  })
})

describe('Secure numbers', () => {
  it('are 32 bits wide and do not repeat', () => {
    const draw = secureUint32()
    const drawn = Array.from({ length: 5_000 }, draw)
    expect(drawn.every((value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32)).toBe(
      true,
    )
    expect(new Set(drawn).size).toBeGreaterThan(4_990)
    expect(drawn.filter((value) => value >= 2 ** 31).length).toBeGreaterThan(2_000)
  })
})
