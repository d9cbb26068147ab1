/**
 * What the agent relies on, whatever runs the models: a process on Node, a table in simulation. Each
 * implementation brings a bench that can make releases, send traffic and kill the host.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type {
  ClosedInterval,
  ResolvedRelease,
  Runtime,
  RuntimeEvent,
  ServedModel,
  ServedRelease,
  ServePlan,
} from '../../agent/ports.ts'
import type { ExecutionProvider } from '../../shared/model/profile.ts'

export interface RuntimeBench {
  readonly runtime: Runtime
  /** The provider that qualifies here; absent: cpu. */
  readonly provider?: ExecutionProvider
  /** Releases of one model; made once for a bench. */
  readonly good: ResolvedRelease
  readonly better: ResolvedRelease
  /** Its golden vectors do not match. */
  readonly wrong: ResolvedRelease
  /** Takes another input than `good`. */
  readonly incompatible: ResolvedRelease
  /** Qualified once, but cannot be loaded any more. */
  readonly unloadable: ResolvedRelease
  served(release: ResolvedRelease): ServedRelease
  /** Runs the world until the promise settles. */
  settle<T>(promise: Promise<T>): Promise<T>
  /** Some requests; resolves when their counts can be on their way. */
  traffic(): Promise<void>
  killHost(): Promise<void>
  /** Lets so much time pass. */
  pass(ms: number): Promise<void>
  dispose(): Promise<void>
}

const WINDOW_MS = 1_000
const MODEL = 'tiny'

export function runtimeContract(name: string, createBench: () => Promise<RuntimeBench>): void {
  // Real processes start slowly on a busy machine; nothing here is about speed.
  describe(`${name} keeps the promises of a runtime`, { timeout: 120_000 }, () => {
    let bench: RuntimeBench
    let events: RuntimeEvent[]

    beforeEach(async () => {
      bench = await createBench()
      events = []
      bench.runtime.onEvent((event) => void events.push(event))
    })
    afterEach(() => bench.dispose())

    const slots = (current: ResolvedRelease, more: Partial<ServedModel> = {}): ServedModel => ({
      model: MODEL,
      current: bench.served(current),
      candidate: null,
      previous: null,
      trafficShare: 0,
      shadow: 0,
      rollout: null,
      ...more,
    })
    const planOf = (generation: number, ...models: ServedModel[]): ServePlan => ({
      generation,
      windowMs: WINDOW_MS,
      models,
    })
    const serve = (plan: ServePlan) => bench.settle(bench.runtime.serve(plan))
    const qualify = (release: ResolvedRelease, signal = new AbortController().signal) =>
      bench.settle(bench.runtime.qualify(release, signal))
    /** Window by window, for on a busy machine one may come late or be cut short. */
    async function passUntil(isSo: () => boolean, meanwhile = async () => {}): Promise<void> {
      for (let i = 0; i < 30 && !isSo(); i++) {
        await meanwhile()
        await bench.pass(WINDOW_MS)
      }
      expect(isSo()).toBe(true)
    }
    const intervals = (): ClosedInterval[] =>
      events.flatMap((event) => (event.kind === 'interval' ? [event.interval] : []))
    const requests = (counted: readonly ClosedInterval[]): number =>
      counted.flatMap(({ arms }) => arms).reduce((sum, { window }) => sum + window.n, 0)

    it('qualifies a release that gives its golden outputs, and tells the provider', async () => {
      const qualified = await qualify(bench.good)
      expect(qualified).toMatchObject({
        ok: true,
        value: { sha256: bench.good.release.sha256, chosen: bench.provider ?? 'cpu' },
      })
      if (qualified.ok) expect(qualified.value.attempts.at(-1)?.outcome).toBe('chosen')
    })

    it('refuses a release that does not give its golden outputs', async () => {
      const refused = await qualify(bench.wrong)
      expect(refused).toMatchObject({ ok: false, error: { code: 'qualify.golden_mismatch' } })
    })

    it('refuses a candidate with another signature than what serves', async () => {
      expect((await qualify(bench.incompatible)).ok).toBe(true)
      await serve(planOf(1, slots(bench.good)))
      const refused = await qualify(bench.incompatible)
      expect(refused).toMatchObject({ ok: false, error: { code: 'admission.signature_changed' } })
    })

    it('stops a qualification that is no longer wanted', async () => {
      const refused = await qualify(bench.good, AbortSignal.abort())
      expect(refused).toMatchObject({ ok: false, error: { code: 'qualify.cancelled' } })
    })

    it('counts the requests of one release for the baseline arm', async () => {
      expect(await serve(planOf(1, slots(bench.good)))).toEqual({ served: true })
      await bench.traffic()
      await passUntil(() => requests(intervals()) > 0)
      for (const { model, generation, share, arms } of intervals()) {
        expect({ model, generation, share }).toEqual({ model: MODEL, generation: 1, share: 0 })
        expect(arms.map(({ arm, version }) => [arm, version])).toEqual([['baseline', '1.0.0']])
      }
    })

    it('counts both arms of a candidate in one interval, with the share they were drawn at', async () => {
      const candidate = bench.served(bench.better)
      const rollout = { id: 'r1', wave: 2 }
      await serve(planOf(3, slots(bench.good, { candidate, trafficShare: 500_000, rollout })))
      const withBoth = () =>
        intervals().find(({ arms }) => arms.filter(({ window }) => window.n > 0).length === 2)
      await passUntil(() => withBoth() !== undefined, bench.traffic)
      for (const interval of intervals()) {
        expect(interval).toMatchObject({ generation: 3, share: 500_000, rollout })
      }
      expect(withBoth()?.arms.map(({ arm, version }) => [arm, version])).toEqual([
        ['baseline', '1.0.0'],
        ['canary', '1.1.0'],
      ])
    })

    it('ends the interval when the plan changes', async () => {
      await serve(planOf(1, slots(bench.good)))
      await bench.traffic()
      const candidate = bench.served(bench.better)
      await serve(planOf(2, slots(bench.good, { candidate, trafficShare: 250_000 })))
      await bench.traffic()
      await bench.settle(bench.runtime.close())
      const shares = new Set(intervals().map(({ generation, share }) => `${generation}:${share}`))
      expect([...shares]).toEqual(['1:0', '2:250000'])
    })

    it('reports a candidate that cannot be loaded and goes on serving', async () => {
      await serve(planOf(1, slots(bench.good)))
      const candidate = bench.served(bench.unloadable)
      const outcome = await serve(
        planOf(2, slots(bench.good, { candidate, trafficShare: 500_000 })),
      )
      const { sha256 } = bench.unloadable.release
      expect(outcome).toMatchObject({ served: false, broken: [{ sha256 }] })
      await bench.traffic()
      await bench.settle(bench.runtime.close())
      expect(requests(intervals().filter(({ generation }) => generation === 2))).toBeGreaterThan(0)
    })

    it('tells that its host died and serves the same plan again', async () => {
      await serve(planOf(1, slots(bench.good)))
      await bench.killHost()
      await bench.traffic()
      await bench.settle(bench.runtime.close())
      expect(events.filter(({ kind }) => kind === 'hostRestarted')).toMatchObject([
        { problem: { code: 'host.killed' } },
      ])
      expect(requests(intervals())).toBeGreaterThan(0)
    })

    it('serves nothing after it was closed', async () => {
      await bench.settle(bench.runtime.close())
      expect(await serve(planOf(1, slots(bench.good)))).toEqual({ served: false, broken: [] })
    })
  })
}
