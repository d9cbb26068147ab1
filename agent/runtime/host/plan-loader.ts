/**
 * Brings the host from the plan in force to the next one: loads what is missing, one release at a
 * time with turns of the loop in between, then swaps all routes at once.
 * Invariants: what serves goes on serving until its successor is warm; a release that cannot be
 * loaded is reported and only its own slot stays empty; a model keeps its former route when its new
 * `current` is broken.
 */
import { ok, type Problem, type Result, toProblem, unwrap } from '../../../shared/kernel/result.ts'
import type { ServeOutcome } from '../../ports.ts'
import type { LiveRelease } from '../plane/live-release.ts'
import { createModelRoute, type ModelRoute } from '../plane/model-route.ts'
import { describeSettings } from '../qualify/tune-settings.ts'
import type { HostModel, HostPlan, HostRelease } from './host-protocol.ts'

export interface PlanLoader {
  /** Plans are applied one after the other; of several that wait only the last is. */
  apply(plan: HostPlan): Promise<ServeOutcome | undefined>
}

export interface PlanLoaderOptions {
  readonly seed: string
  readonly sessionSeed?: string
  readonly load: (release: HostRelease) => Promise<LiveRelease>
  /** Brings a session back that left the memory, before its release takes a slot. */
  readonly warm?: (live: LiveRelease) => Promise<Result<undefined>> | undefined
  /** Told before and after each load, which may block for long. */
  readonly onLoading: (sha256: string | null) => void
  /** Told which models a plan brings, before they are loaded. */
  readonly onExpected?: (models: readonly string[]) => void
  readonly swap: (routes: ReadonlyMap<string, ModelRoute>) => void
  readonly wallClockMs: () => number
}

type Broken = { sha256: string; problem: Problem }

export function createPlanLoader(options: PlanLoaderOptions): PlanLoader {
  /** Loaded sessions; the loader's own hold keeps `previous` warm. */
  const loaded = new Map<string, LiveRelease>()
  let routes: ReadonlyMap<string, ModelRoute> = new Map()
  let newest = -1
  let turn: Promise<unknown> = Promise.resolve()

  /** What answers already need not be in memory: the next request brings it. */
  const serves = (live: LiveRelease): boolean =>
    [...routes.values()].some(({ slots }) => slots.current === live || slots.others.includes(live))

  async function obtain(release: HostRelease, broken: Broken[]): Promise<LiveRelease | null> {
    const { sha256 } = release.resolved.release
    const found = loaded.get(keyOf(release))
    found?.residence?.follow(release)
    if (found !== undefined && serves(found)) return found
    options.onLoading(sha256)
    try {
      if (found !== undefined) {
        unwrap((await options.warm?.(found)) ?? ok())
        return found
      }
      const live = await options.load(release)
      loaded.set(keyOf(release), live)
      return live
    } catch (cause) {
      broken.push({ sha256, problem: toProblem(cause, 'runtime.load_failed') })
      return null
    } finally {
      options.onLoading(null)
    }
  }

  /** `previous` is used when it is still warm, and never loaded for its own sake. */
  async function routeOf(model: HostModel, plan: HostPlan, broken: Broken[]) {
    const current = model.current === null ? null : await obtain(model.current, broken)
    if (current === null) return routes.get(model.model)
    const candidate = model.candidate === null ? null : await obtain(model.candidate, broken)
    const previous = model.previous === null ? null : (loaded.get(keyOf(model.previous)) ?? null)
    const others: LiveRelease[] = []
    for (const other of model.others ?? []) {
      const live = await obtain(other, broken)
      if (live !== null) others.push(live)
    }
    const { generation } = plan
    const { seed, sessionSeed, wallClockMs } = options
    return createModelRoute({
      ...{ model, generation, seed, sessionSeed, wallClockMs },
      ...{ current, candidate, previous, others },
    })
  }

  async function bringInForce(plan: HostPlan): Promise<ServeOutcome | undefined> {
    if (plan.planId !== newest) return undefined
    const broken: Broken[] = []
    const next = new Map<string, ModelRoute>()
    options.onExpected?.(plan.models.map(({ model }) => model))
    for (const model of plan.models) {
      const route = await routeOf(model, plan, broken)
      if (route !== undefined) next.set(model.model, route)
    }
    options.swap(next)
    routes = next
    forgetUnused(loaded, next, plan)
    return broken.length === 0 ? { served: true } : { served: false, broken }
  }

  return {
    apply(plan) {
      newest = plan.planId
      const applied = turn.then(() => bringInForce(plan))
      turn = applied.catch(() => undefined)
      return applied
    },
  }
}

/** The same bytes on another provider, or under another name, are another session. */
function keyOf(release: HostRelease): string {
  const { resolved, provider, layout, batching } = release
  const rowsMax = batching?.rowsMax ?? 1
  const { model, version, sha256 } = resolved.release
  const settings = describeSettings(release)
  return `${model}@${version}/${sha256}/${provider}/${settings}/${layout ?? ''}/${rowsMax}`
}

/** Gives up the loader's hold on sessions that stand in no slot of the plan. */
function forgetUnused(
  loaded: Map<string, LiveRelease>,
  routes: ReadonlyMap<string, ModelRoute>,
  plan: HostPlan,
): void {
  const named = plan.models.flatMap((model) => [
    ...[model.current, model.candidate, model.previous],
    ...(model.others ?? []),
  ])
  const wanted = new Set(named.flatMap((release) => (release === null ? [] : keyOf(release))))
  const routed = new Set(
    [...routes.values()].flatMap(({ slots }) => [...slots.answering(), slots.previous]),
  )
  for (const [key, live] of loaded) {
    if (wanted.has(key) || routed.has(live)) continue
    loaded.delete(key)
    live.letGo()
  }
}
