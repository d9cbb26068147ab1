/**
 * Remembers the plan that the agent wants and sees it through the lives of the model host: sends it to
 * each new host, leaves out releases that broke, and answers whoever waits for it.
 * Invariants: every `serve` resolves, with the outcome of its plan or of a later one; a release that
 * broke stays out until the next generation; the last release that answers is never left out.
 */
import { ok, type Problem, type Result } from '../../../shared/kernel/result.ts'
import { checkCompatible } from '../../../shared/onnx/compatibility.ts'
import type {
  ClosedInterval,
  ResolvedRelease,
  RuntimeEvent,
  ServedRelease,
  ServeOutcome,
  ServePlan,
} from '../../ports.ts'
import { crashInterval } from './crash-interval.ts'
import { type Death, judgeExit, restartDelayMs } from './crash-ledger.ts'
import { condemnedIn, type HostPlanParts, hostPlan, shaOf } from './host-plan.ts'
import type { HostExit } from './host-process.ts'
import type { HostPlan } from './host-protocol.ts'

export interface PlanKeeperOptions extends Pick<HostPlanParts, 'artifactPath'> {
  readonly send: (plan: HostPlan) => void
  readonly emit: (event: RuntimeEvent) => void
  readonly addInterval: (interval: ClosedInterval) => void
}

export interface PlanKeeper {
  plan(): ServePlan
  serve(plan: ServePlan): Promise<ServeOutcome>
  /** May it follow what serves its model now? Errors: `admission.signature_changed`. */
  admit(release: ResolvedRelease): Result<undefined>
  /** Tells the host that now listens the plan. */
  tell(send: (plan: HostPlan) => void): void
  onServed(planId: number, outcome: ServeOutcome): void
  /** The plan in force once more, each release as it is proved now. */
  renew(latest: (served: ServedRelease) => ServedRelease): void
  /** The host itself took this release out of service. */
  condemn(sha256: string, problem: Problem): void
  /** @param host which of several. @returns the time until its next life may start. */
  onExit(exit: HostExit, host?: number): number
  close(): void
}

interface Waiting {
  readonly planId: number
  readonly resolve: (outcome: ServeOutcome) => void
}

const NOT_SERVED: ServeOutcome = { served: false, broken: [] }

export function createPlanKeeper(options: PlanKeeperOptions): PlanKeeper {
  const { artifactPath } = options
  let plan: ServePlan = { generation: -1, windowMs: 60_000, models: [] }
  let planId = 0
  let waiting: Waiting[] = []
  let condemned = new Map<string, Problem>()
  let deaths: readonly Death[] = []
  let isClosed = false

  function tell(send: (plan: HostPlan) => void): void {
    if (planId > 0) send(hostPlan(plan, { planId, condemned, artifactPath }))
  }

  function condemn(sha256: string, problem: Problem): void {
    condemned.set(sha256, problem)
    // Of several hosts one knows; the others need not wait until the agent has a new plan.
    tell(options.send)
    options.emit({ kind: 'releaseBroke', sha256, problem })
  }

  return {
    plan: () => plan,
    tell,
    condemn,
    admit({ release: { model, sha256 }, manifest }) {
      const current = plan.models.find((served) => served.model === model)?.current
      if (!current || shaOf(current) === sha256) return ok()
      return checkCompatible(manifest, current.resolved.manifest)
    },
    serve(next) {
      if (isClosed) return Promise.resolve(NOT_SERVED)
      if (next.generation !== plan.generation) condemned = new Map()
      plan = next
      planId += 1
      const id = planId
      return new Promise((resolve) => {
        waiting.push({ planId: id, resolve })
        tell(options.send)
      })
    },
    renew(latest) {
      if (isClosed) return
      const one = (served: ServedRelease | null) => served && latest(served)
      const models = plan.models.map((model) => ({
        ...model,
        ...{ current: one(model.current), candidate: one(model.candidate) },
        ...{ previous: one(model.previous), others: model.others?.map(latest) ?? [] },
      }))
      plan = { ...plan, models }
      tell(options.send)
    },
    onServed(servedId, outcome) {
      const done = waiting.filter((waiter) => waiter.planId <= servedId)
      waiting = waiting.filter((waiter) => waiter.planId > servedId)
      const broken = [...(outcome.served ? [] : outcome.broken), ...condemnedIn(plan, condemned)]
      const result: ServeOutcome = broken.length > 0 ? { served: false, broken } : { served: true }
      for (const { resolve } of done) resolve(result)
      if (done.length > 0 || outcome.served) return
      // A host that began anew by itself: nobody waits for what it could not load.
      for (const lost of outcome.broken) options.emit({ kind: 'releaseBroke', ...lost })
    },
    onExit(exit, host = 0) {
      const atMs = performance.now()
      const candidates = plan.models.flatMap((model) => model.candidate ?? []).map(shaOf)
      const verdict = judgeExit(deaths, exit, candidates, atMs, host)
      deaths = verdict.deaths
      // A death in a load took no request with it.
      const blamed = exit.loading === undefined ? verdict.blamed : undefined
      const lost = blamed === undefined ? undefined : crashInterval(plan, blamed)
      if (lost !== undefined) options.addInterval(lost)
      options.emit({ kind: 'hostRestarted', problem: verdict.problem })
      if (verdict.broke !== undefined && mayCondemn(plan, verdict.broke)) {
        condemn(verdict.broke, verdict.problem)
      }
      return restartDelayMs(deaths, atMs, host)
    },
    close() {
      isClosed = true
      for (const { resolve } of waiting) resolve(NOT_SERVED)
      waiting = []
    },
  }
}

/** Loop guard: a current release with nothing before it stays; one that answers beats none. */
function mayCondemn(plan: ServePlan, sha256: string): boolean {
  return plan.models.some(
    ({ current, candidate, previous }) =>
      (candidate !== null && shaOf(candidate) === sha256) ||
      (current !== null && shaOf(current) === sha256 && previous !== null),
  )
}
