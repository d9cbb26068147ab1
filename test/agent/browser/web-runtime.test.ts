import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ResolvedRelease, ServedModel, ServePlan } from '../../../agent/ports.ts'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'
import { type RequestBench, requestContract } from '../../contract/request.contract.ts'
import { runtimeContract } from '../../contract/runtime.contract.ts'
import { createBenchReleases } from '../runtime/bench-releases.ts'
import { PROFILE, softmax, tinyClassifier, writeRelease } from '../runtime/release-builder.ts'
import { CHROMIUM, withoutChromium } from './chromium.ts'
import { bridged, type PageBenches, served, startPageBenches } from './page-bench.ts'
import type { BenchSettings } from './runtime-page.ts'

const WASM: FirmwareProfile = { ...PROFILE, executionProviders: ['wasm'] }
const SETTINGS: BenchSettings = { profile: WASM, gpu: false, threads: 1 }

let benches: PageBenches

const infer = (page: Page, x0 = 1, rows = 1, options = {}) =>
  page.evaluate(([x, r, o]) => globalThis.bench.infer(x, r, o), [x0, rows, options] as const)

async function createBench(): Promise<RequestBench> {
  const releases = createBenchReleases()
  benches.folder = releases.folder
  const page = await benches.open(SETTINGS)
  const runtime = bridged(page)
  return {
    runtime,
    provider: 'wasm',
    ...releases,
    served,
    settle: async (promise) => {
      const settled = await promise
      if (!page.isClosed()) await runtime.pull()
      return settled
    },
    async traffic() {
      // After a kill the next worker takes a moment.
      await expect.poll(async () => (await infer(page)).ok).toBe(true)
      for (let i = 0; i < 20; i++) await infer(page, i - 10)
      await page.waitForTimeout(150)
      await runtime.pull()
    },
    ask: (body) =>
      page.evaluate((json) => globalThis.bench.ask('/v2/models/tiny/infer', json), body),
    killHost: () => page.evaluate(() => globalThis.bench.restartHost()),
    async pass(ms) {
      await page.waitForTimeout(ms)
      await runtime.pull()
    },
    async dispose() {
      await page.close()
      releases.dispose()
    },
  }
}

const planOf = (
  generation: number,
  current: ResolvedRelease,
  more: Partial<ServedModel> = {},
): ServePlan => ({
  generation,
  windowMs: 60_000,
  models: [
    {
      ...{ model: 'tiny', current: served(current), candidate: null, previous: null },
      ...{ trafficShare: 0, shadow: 0, rollout: null, ...more },
    },
  ],
})

describe.skipIf(withoutChromium)(`In ${CHROMIUM}`, () => {
  beforeAll(async () => {
    benches = await startPageBenches()
  })
  afterAll(() => benches?.close())

  runtimeContract('the runtime in a worker', createBench)
  requestContract('the runtime in a worker', createBench)

  describe('a page', () => {
    let page: Page
    let releases: ReturnType<typeof createBenchReleases>

    const open = async (settings: Partial<BenchSettings> = {}): Promise<Page> => {
      page = await benches.open({ ...SETTINGS, ...settings })
      return page
    }
    const serve = (plan: ServePlan) => page.evaluate((given) => globalThis.bench.serve(given), plan)
    beforeAll(() => {
      releases = createBenchReleases()
      benches.folder = releases.folder
    })
    afterEach(() => page.close())
    afterAll(() => releases?.dispose())

    it('asks with typed arrays in the shapes of the Open Inference Protocol', async () => {
      await open()
      const candidate = served(releases.better)
      const trafficShare = 500_000
      await serve(planOf(1, releases.good, { candidate, trafficShare }))
      const forced = await infer(page, 0.5, 3, { id: 'a', arm: 'canary' })
      expect(forced).toMatchObject({
        ok: true,
        value: { version: '1.1.0', arm: 'canary', provider: 'wasm', shape: [3, 2] },
      })
      expect(forced.ok && forced.value.last).toBeCloseTo(softmax(0.5, 0.1)[1], 5)
      const named = await infer(page, 0.5, 1, { version: '1.0.0' })
      expect(named).toMatchObject({ ok: true, value: { version: '1.0.0', arm: 'baseline' } })
      const strange = await infer(page, 0.5, 1, { version: '9.9.9' })
      expect(strange).toMatchObject({ ok: false, error: { code: 'infer.unknown_version' } })
      const answers = await page.evaluate(async () => {
        await globalThis.bench.infer(1, 1, { id: 'b' })
        const first = await globalThis.bench.feedback('b', 'high')
        return [first, await globalThis.bench.feedback('b', 'high')]
      })
      expect(answers).toEqual([true, false])
      const metadata = await page.evaluate(() => globalThis.bench.ask('/v2/models/tiny', null))
      expect(JSON.parse(metadata.text)).toMatchObject({ name: 'tiny', versions: expect.anything() })
    })

    it('keeps the release of a stream, and tells each answer of it in typed arrays', async () => {
      await open()
      await serve(planOf(1, releases.good))
      const versions = await page.evaluate(() => globalThis.bench.stream([0, 1, 2]))
      expect(versions).toEqual(['1.0.0', '1.0.0', '1.0.0'])
    })

    it('ends a worker that hangs, refuses what it had, and serves again', async () => {
      const slow = writeRelease(releases.folder, {
        version: '2.0.0',
        description: deepClassifier(400),
      })
      await open({ hangMs: 1_000 })
      await serve(planOf(1, slow))
      const hung = await infer(page, 1, 1_000_000)
      expect(hung).toMatchObject({ ok: false, error: { code: 'infer.not_ready' } })
      await expect.poll(async () => (await infer(page)).ok).toBe(true)
      const events = await page.evaluate(() => globalThis.bench.takeEvents())
      expect(events.filter(({ kind }) => kind === 'hostRestarted')).toMatchObject([
        { problem: { code: 'host.hung' } },
      ])
    })

    it('moves to a worker with more threads without losing a request', async () => {
      await open({ threads: 2 })
      expect(await page.evaluate(() => globalThis.bench.isolated())).toBe(true)
      await serve(planOf(1, releases.good))
      const asking = page.evaluate(() => globalThis.bench.askOn())
      await page.waitForTimeout(100)
      const plan = planOf(2, releases.better)
      const settings = { threads: 2, layout: null }
      const current = { ...served(releases.better), settings }
      const models = plan.models.map((model) => ({ ...model, current }))
      expect(await serve({ ...plan, models })).toEqual({ served: true })
      await page.waitForTimeout(200)
      const answered = await page.evaluate(() => globalThis.bench.stopAsking())
      await asking
      expect(Object.keys(answered).toSorted()).toEqual(['1.0.0', '1.1.0'])
    })

    it('tells why webgpu and webnn are not there, and takes wasm', async () => {
      const executionProviders = ['webgpu' as const, 'webnn' as const, 'wasm' as const]
      await open({ profile: { ...PROFILE, executionProviders } })
      const qualified = await page.evaluate(
        (release) => globalThis.bench.qualify(release, false),
        releases.good,
      )
      expect(qualified).toMatchObject({ ok: true, value: { chosen: 'wasm' } })
      expect(qualified.ok && qualified.value.attempts).toMatchObject([
        { provider: 'webgpu', outcome: 'unavailable' },
        {
          ...{ provider: 'webnn', outcome: 'unavailable' },
          reason: 'not available: this browser or page has no WebNN',
        },
        { provider: 'wasm', outcome: 'chosen', goldenDifferenceMax: expect.closeTo(0, 5) },
      ])
      expect(qualified.ok && qualified.value.residentMb).toBeGreaterThan(10)
    })

    it('proves again what was proved on another adapter, and tells why, before it serves', async () => {
      await open({ isMember: true, drivers: 'vendor=one' })
      await page.evaluate((release) => globalThis.bench.qualify(release, false), releases.good)
      await page.evaluate(() => globalThis.bench.close())
      const after = { ...SETTINGS, isMember: true, drivers: 'vendor=two' }
      await page.evaluate((given) => globalThis.bench.create(given), after)
      expect(await serve(planOf(1, releases.good))).toEqual({ served: true })
      const events = await page.evaluate(() => globalThis.bench.takeEvents())
      expect(events.filter(({ kind }) => kind !== 'interval')).toMatchObject([
        {
          ...{ kind: 'provedAgain', qualification: { chosen: 'wasm' } },
          problem: { code: 'record.outdated', expected: 'vendor=two', found: 'vendor=one' },
        },
      ])
    })
  })
})

/** `tinyClassifier` after many multiplications with one: slow for a large batch, instant for a row. */
function deepClassifier(depth: number) {
  const tiny = tinyClassifier()
  const one = {
    ...{ name: 'one', datatype: 'FP32' as const, shape: [2, 2] },
    data: Float32Array.from([1, 0, 0, 1]),
  }
  const chain = Array.from({ length: depth }, (_, i) => ({
    op: 'MatMul',
    inputs: [i === 0 ? 'x' : `x${i}`, 'one'],
    outputs: [`x${i + 1}`],
  }))
  const [first, ...rest] = tiny.graph.nodes
  const nodes = [...chain, { ...first!, inputs: [`x${depth}`, 'w'] }, ...rest]
  const initializers = [...tiny.graph.initializers, one]
  return { ...tiny, graph: { ...tiny.graph, nodes, initializers } }
}
