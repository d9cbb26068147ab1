/** From plans to routes: what is loaded, shared and given up, with sessions that only count. */
import { describe, expect, it } from 'vitest'
import type { HostModel, HostRelease } from '../../../../agent/runtime/host/host-protocol.ts'
import { createPlanLoader } from '../../../../agent/runtime/host/plan-loader.ts'
import type { LiveRelease } from '../../../../agent/runtime/plane/live-release.ts'
import type { ModelRoute } from '../../../../agent/runtime/plane/model-route.ts'
import { ok } from '../../../../shared/kernel/result.ts'
import { type BuiltLive, buildLive, SCORES } from '../plane-builder.ts'

function build() {
  const loads: string[] = []
  const warmed: string[] = []
  const lives = new Map<string, BuiltLive>()
  let routes: ReadonlyMap<string, ModelRoute> = new Map()
  const loader = createPlanLoader({
    ...{ seed: 'test', sessionSeed: 'test', onLoading: () => undefined, wallClockMs: () => 0 },
    load: async ({ resolved: { release } }) => {
      const name = `${release.model}@${release.version}`
      loads.push(name)
      const live = buildLive(() => SCORES(0, 1), { version: release.version })
      lives.set(name, live)
      return { ...live, model: release.model }
    },
    warm: async (live: LiveRelease) => {
      warmed.push(live.version)
      return ok()
    },
    swap: (next) => {
      for (const [model, route] of routes) if (next.get(model) !== route) route.retire()
      routes = next
    },
  })
  let planId = 0
  return {
    loads,
    warmed,
    lives,
    route: (model: string) => routes.get(model),
    apply: (...models: HostModel[]) => {
      planId += 1
      return loader.apply({ planId, generation: planId, models })
    },
  }
}

function release(model: string, version: string, sha256 = `${model}${version}`): HostRelease {
  const ref = { model, version, variant: 'fp32', target: '', sha256, length: 1 }
  return {
    ...{ resolved: { release: ref }, provider: 'cpu', threads: 1, layout: null },
  } as HostRelease
}
const serving = (model: string, more: Partial<HostModel>): HostModel => ({
  ...{ model, current: null, candidate: null, previous: null, rollout: null },
  ...{ trafficShare: 0, shadow: 0, ...more },
})

describe('A plan', () => {
  it('loads the same bytes once for each name that they serve under', async () => {
    const { apply, loads, route } = build()
    await apply(
      serving('faces', { current: release('faces', '1.0.0', 'same') }),
      serving('copies', { current: release('copies', '2.0.0', 'same') }),
    )
    expect(loads).toEqual(['faces@1.0.0', 'copies@2.0.0'])
    expect([route('faces')?.slots.current.model, route('copies')?.slots.current.model]).toEqual([
      'faces',
      'copies',
    ])
  })

  it('serves further versions to who asks for them, and gives them up with the plan', async () => {
    const { apply, lives, route } = build()
    const [one, two] = [release('faces', '1'), release('faces', '2')]
    await apply(serving('faces', { current: two, others: [one] }))
    expect(route('faces')?.draw({})?.live.version).toBe('2')
    expect(route('faces')?.draw({ version: '1.0.0' })).toMatchObject({
      ...{ arm: 'baseline', live: { version: '1' }, recorder: undefined },
    })
    expect(route('faces')?.draw({ version: '3' })).toBeUndefined()
    await apply(serving('faces', { current: two }))
    expect([lives.get('faces@1')?.released(), lives.get('faces@2')?.released()]).toEqual([1, 0])
  })

  it('has a session in memory before its release takes a slot, not when it keeps one', async () => {
    const { apply, warmed } = build()
    const [one, two] = [release('faces', '1.0.0'), release('faces', '2.0.0')]
    await apply(serving('faces', { current: one }))
    await apply(serving('faces', { current: two, previous: one }))
    expect(warmed).toEqual([])
    await apply(serving('faces', { current: one, previous: two }))
    expect(warmed).toEqual(['1.0.0'])
  })
})
