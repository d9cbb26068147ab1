/** Plans that take different times to be made sure of: the newest wins, in whatever order they are ready. */
import { describe, expect, it } from 'vitest'
import type { ServeOutcome, ServePlan } from '../../../../agent/ports.ts'
import type { AssuredPlan } from '../../../../agent/runtime/qualify/assured-plan.ts'
import { createAssuredServe } from '../../../../agent/runtime/qualify/assured-serve.ts'

const planOf = (generation: number): ServePlan => ({ generation, windowMs: 1_000, models: [] })
const problem = { code: 'qualify.golden_mismatch', message: 'Wrong results.' }

function bench() {
  const ready = new Map<number, (broken: AssuredPlan['broken']) => void>()
  const served: number[] = []
  const serve = createAssuredServe(
    (plan) =>
      new Promise((resolve) => {
        ready.set(plan.generation, (broken) => resolve({ plan, broken }))
      }),
    async ({ generation }): Promise<ServeOutcome> => {
      served.push(generation)
      return { served: true }
    },
  )
  return {
    serve,
    served,
    ready: (n: number, broken: AssuredPlan['broken'] = []) => ready.get(n)?.(broken),
  }
}

describe('A plan that is made sure of', () => {
  it('is served when it is ready', async () => {
    const { serve, served, ready } = bench()
    const outcome = serve(planOf(1))
    expect(served).toEqual([])
    ready(1)
    expect(await outcome).toEqual({ served: true })
    expect(served).toEqual([1])
  })

  it('does not replace a newer one that was ready before it, and has the outcome of that', async () => {
    const { serve, served, ready } = bench()
    const [older, newer] = [serve(planOf(1)), serve(planOf(2))]
    ready(2, [{ sha256: 'a', problem }])
    await newer
    ready(1)
    expect(await older).toEqual({ served: false, broken: [{ sha256: 'a', problem }] })
    expect(served).toEqual([2])
  })

  it('that lost a release says so, also when the rest serves', async () => {
    const { serve, ready } = bench()
    const outcome = serve(planOf(1))
    ready(1, [{ sha256: 'a', problem }])
    expect(await outcome).toEqual({ served: false, broken: [{ sha256: 'a', problem }] })
  })
})
