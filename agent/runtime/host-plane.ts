/**
 * The data plane of the model host: the life of one request.
 *
 *   validate -> draw the arm -> wait in line -> run -> check the answer -> encode -> count
 *
 * Invariants: the arm is drawn after validation and before anything can fail, so a refused request
 * has no arm and whatever happens later counts for the arm drawn (intention to treat); every
 * request is answered exactly once.
 */
import type { Problem } from '../../shared/kernel/result.ts'
import type { RequestSample } from '../../shared/sketch/window-record.ts'
import type { DataPlane, InferRequest, ReleaseStatus } from '../data-plane.ts'
import type { ClosedInterval } from '../ports.ts'
import { admitRequest, refuseModel } from './admit-request.ts'
import { joinLabel } from './join-label.ts'
import { createLabelTable } from './label-table.ts'
import type { LiveRelease } from './live-release.ts'
import type { Draw, ModelRoute } from './model-route.ts'
import { createStatisticsTable } from './release-statistics.ts'
import { runRequest } from './request-runner.ts'
import { createRunQueue } from './run-queue.ts'
import { runShadow } from './shadow.ts'

export interface PlaneOptions {
  readonly nowMs: () => number
  readonly deadlineMsMax: number
  readonly queueLengthMax: number
  /** Told which of several releases runs now, for whoever has to explain a crash; null: none. */
  readonly mark: (live: LiveRelease | null) => void
  /** Runs a task after the answer is on its way. */
  readonly defer: (task: () => void) => void
  readonly onBroke: (live: LiveRelease, problem: Problem) => void
}

export interface HostPlane extends DataPlane {
  /** Puts routes in force in one step; those they replace drain and let their sessions go. */
  swap(routes: ReadonlyMap<string, ModelRoute>): void
  /** What was counted since the last call, of the routes in force and of those that drain. */
  flush(): readonly ClosedInterval[]
}

/** Predictions that wait for their truth. */
const LABELS_MAX = 8_192

export function createHostPlane(options: PlaneOptions): HostPlane {
  const { nowMs, deadlineMsMax } = options
  const queue = createRunQueue(options.queueLengthMax, nowMs)
  const labels = createLabelTable(LABELS_MAX)
  const statistics = createStatisticsTable()
  let routes: ReadonlyMap<string, ModelRoute> = new Map()
  let draining: ModelRoute[] = []
  let isReady = false
  let isMarking = false
  const mark = (live: LiveRelease | null): void => {
    if (isMarking) options.mark(live)
  }
  const runner = { queue, nowMs, deadlineMsMax, mark }

  function count(request: InferRequest, route: ModelRoute, draw: Draw, sample: RequestSample) {
    const { live, arm, recorder } = draw
    const { error, latencyMs, prediction } = sample
    statistics.record(live.model, live.version, sample)
    if (recorder === undefined) return
    if (request.id !== undefined && prediction !== undefined) {
      const { classIndex } = prediction
      labels.remember(`${live.model}/${request.id}`, { sha256: live.sha256, classIndex })
    }
    recorder.record(arm, sample)
    // A full line is the device's trouble, not the release's.
    const failed = error !== undefined && error !== 'overloaded' && error !== 'cancelled'
    const late = (latencyMs.total ?? 0) > live.manifest.serviceLevels.latencyMsMax
    const problem = route.watch(live, { failed, late })
    if (problem !== undefined) options.onBroke(live, problem)
    const isServed = error === undefined && arm === 'baseline'
    if (isServed && prediction !== undefined && route.drawShadow()) {
      options.defer(() => runShadow(runner, route, request.inputs, prediction.classIndex))
    }
  }

  return {
    nowMs,
    async infer(request, encode) {
      const admitted = admitRequest(routes.get(request.model), request, isReady)
      if (!admitted.ok) return admitted
      const { route, draw } = admitted.value
      route.enter()
      try {
        const { result, sample } = await runRequest(runner, request, draw, encode)
        count(request, route, draw, sample)
        return result
      } finally {
        route.leave()
      }
    },
    ready: () => isReady,
    queued: () => queue.length(),
    statistics: () => statistics.all(),
    releases: () => [...routes.values()].flatMap(statusOf),
    feedback(model, id, label) {
      const route = routes.get(model)
      return route === undefined ? refuseModel(model, isReady) : joinLabel(route, labels, id, label)
    },
    swap(next) {
      const replaced = [...routes].flatMap(([model, route]) =>
        next.get(model) === route ? [] : [route],
      )
      routes = next
      isReady = true
      isMarking = [...next.values()].flatMap(statusOf).length > 1
      queue.oneAtATime(isMarking)
      for (const route of replaced) route.retire()
      draining.push(...replaced)
    },
    flush() {
      const counted = [...draining, ...routes.values()].flatMap((route) => route.flush())
      draining = draining.filter((route) => !route.drained())
      return counted
    },
  }
}

function statusOf(route: ModelRoute): ReleaseStatus[] {
  const rows: [ReleaseStatus['slot'], LiveRelease | null][] = [
    ['current', route.current],
    ['candidate', route.candidate],
  ]
  return rows.flatMap(([slot, live]) => {
    if (live === null) return []
    const { model, version, variant, provider, manifest } = live
    const { inputs, outputs } = manifest
    return [{ model, version, variant: variant.name, slot, provider, inputs, outputs }]
  })
}
