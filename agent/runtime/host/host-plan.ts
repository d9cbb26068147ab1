/**
 * From the agent's plan to what the host is told: the same slots, less the releases that killed it,
 * each spread out in the settings of its proof. Pure.
 */
import type { Problem } from '../../../shared/kernel/result.ts'
import type { ServedRelease, ServePlan } from '../../ports.ts'
import { USUAL_SETTINGS } from '../run-settings.ts'
import type { HostModel, HostPlan, HostRelease } from './host-protocol.ts'

export interface HostPlanParts {
  readonly planId: number
  readonly condemned: ReadonlyMap<string, Problem>
  readonly artifactPath: (sha256: string) => string | undefined
}

export function hostPlan(plan: ServePlan, parts: HostPlanParts): HostPlan {
  const prepare = (served: ServedRelease | null): HostRelease | null => {
    if (served === null || parts.condemned.has(shaOf(served))) return null
    const goldenPath = parts.artifactPath(served.resolved.variant.golden.sha256) ?? null
    const { settings = USUAL_SETTINGS, ...rest } = served
    return { ...rest, goldenPath, ...settings }
  }
  const models = plan.models.map((model): HostModel => {
    const previous = prepare(model.previous)
    const current = prepare(model.current)
    const isAlone = current === null
    return {
      ...model,
      // A condemned current gives way to what served before it, until a new plan says otherwise.
      current: current ?? previous,
      previous: isAlone ? null : previous,
      candidate: prepare(model.candidate),
      others: (model.others ?? []).flatMap((served) => prepare(served) ?? []),
    }
  })
  return { planId: parts.planId, generation: plan.generation, models }
}

export function condemnedIn(
  plan: ServePlan,
  condemned: ReadonlyMap<string, Problem>,
): { sha256: string; problem: Problem }[] {
  return servingReleases(plan).flatMap((served) => {
    const problem = condemned.get(shaOf(served))
    return problem === undefined ? [] : [{ sha256: shaOf(served), problem }]
  })
}

/** Releases that answer requests under a plan, current before candidate. */
function servingReleases(plan: ServePlan): ServedRelease[] {
  return plan.models
    .flatMap((model) => [model.current, model.candidate, ...(model.others ?? [])])
    .filter((served) => served !== null)
}

export function shaOf(served: ServedRelease): string {
  return served.resolved.release.sha256
}
