/** What is told of a draw is enough to draw it again. */
import { expect, it } from 'vitest'
import type { HostModel } from '../../../../agent/runtime/host/host-protocol.ts'
import { createModelRoute } from '../../../../agent/runtime/plane/model-route.ts'
import { createPrng } from '../../../../shared/kernel/prng.ts'
import { buildLive, SCORES } from '../plane-builder.ts'

const routeOf = (hasCandidate: boolean) => {
  const model: HostModel = {
    ...{ model: 'tiny', current: null, candidate: null, previous: null, rollout: null },
    ...{ trafficShare: 250_000, shadow: 1_000 },
  }
  const live = (version: string) => buildLive(() => SCORES(0, 1), { version })
  return createModelRoute({
    ...{ model, generation: 7, seed: 'device-1/boot-1/2', previous: null, wallClockMs: () => 0 },
    ...{ current: live('1.0.0'), candidate: hasCandidate ? live('1.1.0') : null },
  })
}

it('is the seed, the share and the candidate, from which the same arms come', () => {
  const route = routeOf(true)
  const drawing = route.drawing()
  expect(drawing).toEqual({
    ...{ model: 'tiny', generation: 7, seed: 'device-1/boot-1/2/7/tiny', candidate: '1.1.0' },
    ...{ trafficShare: 250_000, shadow: 1_000 },
  })
  const prng = createPrng(drawing?.seed ?? '')
  const again = () => (prng.below(1_000_000) < 250_000 ? 'canary' : 'baseline')
  for (let i = 0; i < 200; i++) expect(route.draw({})?.arm).toBe(again())
})

it('is nothing where there is no candidate: all go to current', () => {
  expect(routeOf(false).drawing()).toBeUndefined()
})
