/** Releases that share a model file and differ in what was proved: each runs as its own proof says. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { ResolvedRelease } from '../../../../agent/ports.ts'
import { hostPlan } from '../../../../agent/runtime/host/host-plan.ts'
import { createProofKeeper } from '../../../../agent/runtime/qualify/proof-keeper.ts'
import { createRecordStore } from '../../../../agent/runtime/qualify/record-store.ts'
import type { Qualification } from '../../../../shared/model/device.ts'
import { PROFILE, served, writeRelease } from '../release-builder.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-settings-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const first = writeRelease(folder)
/** The same file, with another tolerance. */
const second: ResolvedRelease = {
  ...first,
  release: { ...first.release, version: '1.0.1' },
  variant: { ...first.variant, tolerance: { absolute: 0.5, relative: 0 } },
}

const proved = (threads: number, chosen: Qualification['chosen']) => ({
  qualification: {
    ...{ sha256: first.release.sha256, runtimeVersion: '1', chosen, threads, attempts: [] },
    ...{ loadMs: 1, firstRunMs: 1, steadyMsP50: 1, steadyMsP95: 1, residentMb: 1, peakMb: null },
  },
  settings: { threads, layout: chosen === 'webgpu' ? ('NHWC' as const) : null, batching: null },
  optimised: chosen === 'webgpu' ? null : { sha256: 'a'.repeat(64), length: 9 },
})

describe('A plan with releases that share a model file', () => {
  it('takes provider, settings and optimised file of each from one and the same proof', async () => {
    const records = createRecordStore({
      directory: join(folder, 'records'),
      surroundings: { runtimeVersion: '1', machine: 'm', drivers: 'd', profile: PROFILE },
    })
    await records.keep(first, proved(2, 'webgpu'))
    await records.keep(second, proved(3, 'cpu'))
    const proofs = createProofKeeper({
      ...{ records, profile: PROFILE, isStrict: false, hosts: 1, timeMsMax: 1, tuningMs: 0 },
      ...{ artifactPath: () => undefined, artifactKey: undefined, onProvedAgain: () => undefined },
    })
    const [current, other] = [served(folder, first), served(folder, second)]
    const model = { model: 'tiny', current, candidate: null, previous: null, others: [other] }
    const { plan } = await proofs.assure({
      ...{ generation: 1, windowMs: 1_000 },
      models: [{ ...model, trafficShare: 0, shadow: 0, rollout: null }],
    })
    const parts = { planId: 1, condemned: new Map(), artifactPath: () => undefined }
    const [told] = hostPlan(plan, parts).models
    expect(told?.current).toMatchObject({
      ...{ provider: 'webgpu', threads: 2, layout: 'NHWC', optimised: null },
    })
    expect(told?.others?.[0]).toMatchObject({
      ...{ provider: 'cpu', threads: 3, layout: null },
      optimised: { path: records.optimisedPath(second), sha256: 'a'.repeat(64) },
    })
    proofs.close()
  })
})
