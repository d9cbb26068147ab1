/**
 * The case that only a golden vector on the device finds, in Node: silero-vad on webgpu is wrong in the
 * default layout and right with NCHW. Needs a Vulkan driver (Chromium's software driver will do) and
 * ../shared/models beside the repository root.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createNodeRuntime } from '../../../../agent/runtime/node-runtime.ts'
import { unwrap } from '../../../../shared/kernel/result.ts'
import { PROFILE } from '../release-builder.ts'
import { createSileroRelease, firstChunk, hasSilero } from '../silero-release.ts'
import { withoutVulkan } from '../vulkan.ts'

const reason = withoutVulkan ?? (hasSilero ? undefined : 'no ../shared/models/silero-vad')
const TITLE = `With silero-vad of ../shared/models on webgpu in Node${reason ? ` (skipped: ${reason})` : ''}`

/** `.ci/run` installs what the driver needs: there nothing is skipped for want of it. */
const isSkipped = process.env.LINNET_CI === '1' ? !hasSilero : reason !== undefined

describe.skipIf(isSkipped)(TITLE, { timeout: 240_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'linnet-silero-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('the default layout is refused with its error, NCHW is taken, and the host serves it', async () => {
    const { release, golden } = await createSileroRelease(folder)
    expect(golden).toBeCloseTo(0.208, 3)
    const limits = { ...PROFILE.limits, sessionMemoryMb: 2_048 }
    const runtime = createNodeRuntime({
      ...{ device: 'device-1', boot: 'boot-1', socketPath: null },
      profile: { ...PROFILE, executionProviders: ['webgpu', 'cpu'], limits },
      directory: join(folder, 'runtime'),
      artifactPath: (sha256) => join(folder, sha256),
      listen: { host: '127.0.0.1', port: 0 },
      limits: { tuningMs: 200 },
    })
    try {
      const qualified = unwrap(await runtime.qualify(release, new AbortController().signal))
      const [wrong, right] = qualified.attempts
      expect(qualified.attempts).toHaveLength(2)
      expect(wrong).toMatchObject({ provider: 'webgpu', options: '', outcome: 'refused' })
      // It says 0.041. The exact figure is the driver's, that it is wrong is the library's.
      expect(wrong?.goldenDifferenceMax).toBeGreaterThan(0.1)
      expect(wrong?.reason).toContain('output[0]')
      expect(right).toMatchObject({ provider: 'webgpu', outcome: 'chosen' })
      expect(right?.options).toContain('preferredLayout=NCHW')
      expect(right?.goldenDifferenceMax).toBeLessThan(1e-4)

      const modelPath = join(folder, release.variant.artifact.sha256)
      const current = { resolved: release, provider: qualified.chosen, modelPath }
      const model = { model: 'vad', current, candidate: null, previous: null, rollout: null }
      const models = [{ ...model, trafficShare: 0, shadow: 0 }]
      const served = await runtime.serve({ generation: 1, windowMs: 60_000, models })
      expect(served).toEqual({ served: true })
      const { port } = unwrap(await runtime.address())
      const body = JSON.stringify({
        inputs: [
          { name: 'input', datatype: 'FP32', shape: [1, 576], data: [...firstChunk()] },
          { name: 'state', datatype: 'FP32', shape: [2, 1, 128], data: Array(256).fill(0) },
          { name: 'sr', datatype: 'INT64', shape: [], data: [16_000] },
        ],
      })
      const url = `http://127.0.0.1:${port}/v2/models/vad/infer`
      const answer = await fetch(url, { method: 'POST', body })
      const { outputs } = (await answer.json()) as { outputs: { name: string; data: number[] }[] }
      expect(outputs.find(({ name }) => name === 'output')?.data[0]).toBeCloseTo(0.208, 3)
    } finally {
      await runtime.close()
    }
  })
})
