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
import { createPrng } from '../../../../shared/kernel/prng.ts'
import { ok, unwrap } from '../../../../shared/kernel/result.ts'
import { telemetrySchema } from '../../../../shared/protocol/messages.ts'
import { buildLive, buildPlane, SCORES } from '../plane-builder.ts'
import { PROFILE, served, writeRelease } from '../release-builder.ts'

const FEATURE = { name: 'x0', tensor: 'x', reduce: 'element' as const, offset: 0, count: 1 }
const REFERENCE = {
  ...{ feature: 'x0', edges: [-1, 0, 1], counts: [10, 10, 10, 10], mean: 0, sd: 1 },
  autocorrelationRows: 1,
}
const INTERVALS = 8
const NOISY = { disclosure: { countNoise: { epsilon: 0.001 } } }

async function countedBy(requests: number, manifest: object): Promise<ClosedInterval> {
  const plane = buildPlane()
  const about = { features: [FEATURE], reference: [REFERENCE], ...manifest }
  plane.put(buildLive(() => SCORES(0.9, 0.1), { manifest: about }))
  for (let i = 0; i < requests; i++) {
    const data = Float32Array.of(0.5, 0)
    const inputs = [{ name: 'x', datatype: 'FP32' as const, shape: [1, 2], data }]
    await plane.infer({ model: 'tiny', inputs, arrivedAtMs: performance.now() }, ok)
  }
  return plane.flush()[0]!
}
const uint32 = () => {
  const prng = createPrng('disguise')
  return () => prng.u32()
}
const message = (interval: ClosedInterval) =>
  telemetrySchema.safeParse({ ...interval, boot: 'b', seq: 1 })

describe('An interval', () => {
  it('of a release without the policy leaves as it is', async () => {
    const interval = await countedBy(5, {})
    expect(disguiseInterval(interval, uint32())).toBe(interval)
    expect(interval.arms[0]?.window.features[0]?.bins).toEqual([0, 0, 5, 0])
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
    merge.close(Date.now(), true)
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
