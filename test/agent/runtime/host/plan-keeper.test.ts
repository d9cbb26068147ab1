/** What becomes of the outcome of a plan, through the lives of the model host. */
import { afterEach, expect, it, vi } from 'vitest'
import type { RuntimeEvent } from '../../../../agent/ports.ts'
import { createPlanKeeper } from '../../../../agent/runtime/host/plan-keeper.ts'

afterEach(() => void vi.useRealTimers())

const problem = { code: 'artifact.digest', message: 'Not what was verified.' }
const lost = { served: false, broken: [{ sha256: 'a'.repeat(64), problem }] } as const

function aKeeper() {
  const events: RuntimeEvent[] = []
  const keeper = createPlanKeeper({
    ...{ artifactPath: () => undefined, send: () => undefined, addInterval: () => undefined },
    emit: (event) => void events.push(event),
  })
  return { keeper, events }
}

it('is for who asked for the plan, and an event for nobody', async () => {
  const { keeper, events } = aKeeper()
  const served = keeper.serve({ generation: 1, windowMs: 60_000, models: [] })
  keeper.onServed(1, lost)
  expect(await served).toEqual(lost)
  expect(events).toEqual([])
})

it('is an event where a host that began anew cannot load what the one before served', async () => {
  const { keeper, events } = aKeeper()
  const served = keeper.serve({ generation: 1, windowMs: 60_000, models: [] })
  keeper.onServed(1, { served: true })
  expect(await served).toEqual({ served: true })
  keeper.onServed(1, { served: true })
  expect(events).toEqual([])
  keeper.onServed(1, lost)
  expect(events).toEqual([{ kind: 'releaseBroke', ...lost.broken[0] }])
})

it.each([
  ['forward', 86_400_000],
  ['back', -86_400_000],
])('remembers deaths as before while the clock of the device is set a day %s', (_, jumpMs) => {
  const { keeper } = aKeeper()
  const exit = { code: 1, signal: null, hung: false, running: 'a', loading: undefined }
  const delays = [keeper.onExit(exit), keeper.onExit(exit)]
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + jumpMs })
  delays.push(keeper.onExit(exit))
  expect(delays).toEqual([0, 100, 200])
})
