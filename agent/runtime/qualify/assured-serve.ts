/**
 * Plans on their way to the host, each made sure of first (assured-plan.ts), which may take long.
 * Invariant: a plan that became ready late never replaces a newer one; it has the newer one's outcome.
 */
import type { ServeOutcome, ServePlan } from '../../ports.ts'
import type { AssuredPlan } from './assured-plan.ts'

export function createAssuredServe(
  assure: (plan: ServePlan) => Promise<AssuredPlan>,
  serve: (plan: ServePlan) => Promise<ServeOutcome>,
): (plan: ServePlan) => Promise<ServeOutcome> {
  let asked = 0
  let served = 0
  let outcome: Promise<ServeOutcome> = Promise.resolve({ served: true })
  return async (plan) => {
    asked += 1
    const order = asked
    const assured = await assure(plan)
    if (order < served) return outcome
    served = order
    outcome = serve(assured.plan).then((own) => withBroken(own, assured.broken))
    return outcome
  }
}

function withBroken(outcome: ServeOutcome, broken: AssuredPlan['broken']): ServeOutcome {
  if (broken.length === 0) return outcome
  return { served: false, broken: [...broken, ...(outcome.served ? [] : outcome.broken)] }
}
