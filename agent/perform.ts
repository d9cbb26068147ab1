/**
 * Every effect of the update machine and what performs it. The table is exhaustive over
 * `DeviceEffect`: a new effect does not compile until it has a row here.
 *
 * `inOrder` effects run one after the other, because `persist` must be durable before what follows
 * it. The others go to lanes of their own: the job lane (a download must not delay a rollback) and
 * the check lane. Invariant: nothing here decides; completions go back as events.
 */

import type { DeviceEffect, DeviceEvent } from '../shared/update/state.ts'
import type { CheckLane } from './check-lane.ts'
import { eventsOfBroken } from './failures.ts'
import type { JobLane } from './job-lane.ts'
import type { ArtifactStore, Repository, Runtime, StateStore } from './ports.ts'
import { buildServePlan } from './serve-plan.ts'
import type { Spool } from './spool.ts'

type EffectOf<K extends DeviceEffect['kind']> = Extract<DeviceEffect, { kind: K }>

type PerformTable = {
  readonly [K in DeviceEffect['kind']]: (effect: EffectOf<K>) => void | Promise<void>
}

export interface PerformContext {
  readonly repository: Repository
  readonly artifacts: ArtifactStore
  readonly states: StateStore
  readonly runtime: Runtime
  readonly spool: Spool
  readonly jobs: JobLane
  readonly checks: CheckLane
  readonly nowMs: () => number
  readonly dispatch: (event: DeviceEvent) => void
}

export function createPerform(context: PerformContext): (effect: DeviceEffect) => Promise<void> {
  const { repository, artifacts, states, spool, jobs, checks } = context
  const table: PerformTable = {
    persist: ({ durable }) => states.save(durable),
    serve: (effect) => performServe(effect, context),
    collectGarbage: async ({ keep }) => {
      const kept = new Set([...keep, ...jobs.filesInUse()])
      // Without its golden vectors a release could not be warmed up at the next start.
      const companions = await repository.companions(kept)
      await artifacts.collectGarbage(new Set([...kept, ...companions]))
      await repository.collectGarbage(kept)
    },
    report: ({ report, qualifications }) =>
      spool.setReport(report, qualifications, context.nowMs()),
    notify: ({ notice }) => spool.addNotice(notice),
    checkAssignment: (effect) => checks.check(effect),
    resolve: (effect) => jobs.start(effect),
    fetch: (effect) => jobs.start(effect),
    verify: (effect) => jobs.start(effect),
    qualify: (effect) => jobs.start(effect),
  }
  return async (effect) => {
    // The row of an effect's kind takes that effect; the union alone cannot tell TypeScript so.
    const perform = table[effect.kind] as (effect: DeviceEffect) => void | Promise<void>
    await perform(effect)
  }
}

async function performServe(effect: EffectOf<'serve'>, context: PerformContext): Promise<void> {
  const { plan, broken } = await buildServePlan(effect, context)
  const outcome = await context.runtime.serve(plan)
  const all = [...broken, ...(outcome.served ? [] : outcome.broken)]
  for (const { sha256, problem } of all) {
    for (const event of eventsOfBroken(sha256, problem)) context.dispatch(event)
  }
  if (all.length === 0 && outcome.served) context.dispatch({ kind: 'served', plan: effect.plan })
  if (all.length === 0 && !outcome.served) {
    throw new Error('the model host did not take the plan and named no release')
  }
}
