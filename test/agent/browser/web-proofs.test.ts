/**
 * Proofs of a browser device over its visits: each `visit` is a page that knows nothing but what the
 * device's storage has. The storage, the key and the verifier are real parts; the prover is a table.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { memoryRecords, type Records } from '../../../agent/browser/records.ts'
import { createWebProofs } from '../../../agent/browser/web-proofs.ts'
import { createWebSmallFiles } from '../../../agent/browser/web-stores.ts'
import type { ResolvedRelease, ServedRelease, ServePlan } from '../../../agent/ports.ts'
import type { Surroundings } from '../../../agent/runtime/qualify/qualification-record.ts'
import type { Qualified } from '../../../agent/runtime/qualify/qualify-release.ts'
import type { RunSettings } from '../../../agent/runtime/run-settings.ts'
import { ok, type Problem, type Result, refuse } from '../../../shared/kernel/result.ts'
import { generatePrivateKey, nodeSigner } from '../../../shared/node/signer-node.ts'
import type { Signer } from '../../../shared/signing/keys.ts'
import { PROFILE, served, writeRelease } from '../runtime/release-builder.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-web-proofs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const release = writeRelease(folder)
const batching = { rowsMax: 4, layout: { inputs: { x: 0 }, outputs: { scores: 0 } } }
/** The layout that this model is right in, where the provider's own is wrong. */
const PROVED: RunSettings = { threads: 1, layout: 'NCHW', batching }
const HERE: Surroundings = {
  ...{ runtimeVersion: '1.30.0', machine: 'Chrome/140', drivers: 'vendor=one' },
  profile: { ...PROFILE, executionProviders: ['webgpu', 'wasm'] },
}
const device = nodeSigner(generatePrivateKey('ed25519'))
const limited = (limits: object) => ({
  profile: { ...HERE.profile, limits: { ...PROFILE.limits, ...limits } },
})

function proofOf({ release: { sha256 } }: ResolvedRelease, settings = PROVED): Qualified {
  return {
    qualification: {
      ...{ sha256, runtimeVersion: '1.30.0', chosen: 'webgpu', threads: 1, attempts: [] },
      ...{ loadMs: 1.5, firstRunMs: 1, steadyMsP50: 0.25, steadyMsP95: 1, residentMb: 80 },
      peakMb: null,
    },
    ...{ settings, optimised: null },
  }
}

let records: Records
beforeEach(() => {
  records = memoryRecords()
})

interface Visit {
  readonly under?: Partial<Surroundings>
  readonly signer?: Signer | undefined
  readonly answer?: (release: ResolvedRelease) => Result<Qualified>
}

function visit({ under = {}, answer = (asked) => ok(proofOf(asked)), ...more }: Visit = {}) {
  const proved: string[] = []
  const told: Problem[] = []
  const proofs = createWebProofs({
    files: createWebSmallFiles(records, 'settings'),
    surroundings: { ...HERE, ...under },
    signer: 'signer' in more ? more.signer : device,
    async prove(asked, signal) {
      proved.push(asked.release.version)
      return signal.aborted ? refuse('qualify.cancelled', 'Cancelled.') : answer(asked)
    },
    onProvedAgain: (_, why) => told.push(why),
  })
  const assure = (resolved = release) => proofs.assure(planOf(served(folder, resolved)))
  const qualify = (resolved = release) => proofs.qualify(resolved, new AbortController().signal)
  return { ...proofs, proved, told, assure, qualify }
}

function planOf(current: ServedRelease): ServePlan {
  const model = { model: 'tiny', current, candidate: null, previous: null, rollout: null }
  return { generation: 1, windowMs: 1_000, models: [{ ...model, trafficShare: 0, shadow: 0 }] }
}

const rowName = async (): Promise<string> => (await records.keys('settings'))[0] ?? 'none'
const row = async () => String(await records.get('settings', await rowName()))

/** On the next visit: nothing runs before one new proof of its own, and the reason is told. */
async function expectProvedAgain(next: ReturnType<typeof visit>, why: object): Promise<void> {
  const { plan, broken } = await next.assure()
  expect(next.proved).toEqual(['1.0.0'])
  expect(next.told).toMatchObject([why])
  expect(broken).toEqual([])
  expect(plan.models[0]?.current).toMatchObject({ provider: 'webgpu', settings: PROVED })
}

describe('A release that was proved in this browser', () => {
  it('serves on the next visit exactly as it was proved, without another proof', async () => {
    expect(await visit().qualify()).toMatchObject({ ok: true, value: { chosen: 'webgpu' } })
    const next = visit()
    const { plan } = await next.assure()
    expect(plan.models[0]?.current).toMatchObject({ provider: 'webgpu', settings: PROVED })
    expect(await next.qualify()).toMatchObject({ ok: true, value: { steadyMsP50: 0.25 } })
    expect([next.proved, next.told]).toEqual([[], []])
  })

  it.each<[string, Partial<Surroundings>, object]>([
    ['version of ONNX Runtime Web', { runtimeVersion: '1.31.0' }, { found: '1.30.0' }],
    ['browser', { machine: 'Chrome/141' }, { expected: 'Chrome/141', found: 'Chrome/140' }],
    ['GPU adapter', { drivers: 'vendor=two' }, { found: 'vendor=one' }],
    ['list of providers', { profile: PROFILE }, { expected: 'cpu', found: 'webgpu,wasm' }],
    [
      'number of threads',
      limited({ threadsMax: 4 }),
      { found: expect.stringMatching(/threads=1/) },
    ],
    ['memory limit', limited({ sessionMemoryMb: 9 }), { expected: expect.stringMatching(/Mb=9/) }],
  ])('is proved again, and says why, under another %s', async (_, under, why) => {
    await visit().qualify()
    await expectProvedAgain(visit({ under }), { code: 'record.outdated', ...why })
    // Once is enough.
    const third = visit({ under })
    await third.assure()
    expect(third.proved).toEqual([])
  })

  it('is proved again when its record is gone, and never runs in the usual settings', async () => {
    await visit().qualify()
    await records.remove('settings', await rowName())
    await expectProvedAgain(visit(), { code: 'record.missing' })
  })

  it.each([
    ['is from before proofs were signed', () => '1 NCHW', 'record.malformed'],
    ['is cut short', (text: string) => text.slice(0, -20), 'record.malformed'],
    ['is changed', (text: string) => text.replace('NCHW', 'NHWC'), 'record.signature'],
  ])('is proved again when its record %s', async (_, change, code) => {
    await visit().qualify()
    await records.put('settings', await rowName(), change(await row()))
    await expectProvedAgain(visit(), { code })
  })

  it('is proved again when another device signed the record', async () => {
    await visit({ signer: nodeSigner(generatePrivateKey('ed25519')) }).qualify()
    await expectProvedAgain(visit(), { code: 'record.signature' })
  })

  it('is another one for other golden vectors or another tolerance', async () => {
    await visit().qualify()
    const next = visit()
    const golden = { ...release.variant.golden, sha256: 'c'.repeat(64) }
    const tolerance = { absolute: 0.5, relative: 0 }
    for (const change of [{ golden }, { tolerance }]) {
      await next.assure({ ...release, variant: { ...release.variant, ...change } })
    }
    expect(next.told.map(({ code }) => code)).toEqual(['record.missing', 'record.missing'])
    expect(next.proved).toHaveLength(2)
  })
})

describe('A release that cannot be proved again', () => {
  const problem = { code: 'qualify.golden_mismatch', message: 'Wrong results.' }

  it('is left out of the plan, with the reason', async () => {
    await visit().qualify()
    const next = visit({
      under: { drivers: 'vendor=two' },
      answer: () => ({ ok: false, error: problem }),
    })
    const { plan, broken } = await next.assure()
    expect(plan.models[0]?.current).toBeNull()
    expect(broken).toEqual([{ sha256: release.release.sha256, problem }])
    expect(next.told).toEqual([])
  })

  it('is not blamed when the page goes away in the middle', async () => {
    const next = visit()
    next.close()
    const { plan, broken } = await next.assure()
    expect([plan.models[0]?.current, broken]).toEqual([null, []])
  })
})

describe('A page without a key', () => {
  it('keeps nothing over visits, and serves a plan as it is given', async () => {
    const first = visit({ signer: undefined })
    await first.qualify()
    expect(await records.keys('settings')).toEqual([])
    expect((await first.assure()).plan.models[0]?.current).toMatchObject({ settings: PROVED })
    const next = visit({ signer: undefined })
    expect((await next.assure()).plan.models[0]?.current).toEqual(served(folder, release))
    expect([next.proved, next.told]).toEqual([[], []])
  })
})

describe('The storage of proofs', () => {
  it('has room for 256, and forgets those that this visit did not ask for first', async () => {
    for (let i = 0; i < 256; i++) await records.put('settings', `${i}`.padStart(64, '0'), 'old')
    const next = visit()
    await next.qualify()
    const names = await records.keys('settings')
    expect(names).toHaveLength(256)
    expect(names).not.toContain('0'.repeat(64))
    const again = visit()
    await again.assure()
    expect(again.proved).toEqual([])
  })

  it('may fail: the proof then lasts until the page is closed', async () => {
    records = { ...records, put: () => Promise.reject(new Error('QuotaExceededError')) }
    const first = visit()
    expect(await first.qualify()).toMatchObject({ ok: true })
    expect((await first.assure()).plan.models[0]?.current).toMatchObject({ settings: PROVED })
    expect(first.proved).toHaveLength(1)
    await expectProvedAgain(visit(), { code: 'record.missing' })
  })
})
