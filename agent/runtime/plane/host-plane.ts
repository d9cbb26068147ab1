/**
 * The data plane of the model host: the life of one request.
 *
 *   validate -> draw the arm -> wait in line -> run -> check the answer -> encode -> count
 *
 * Invariants: the arm is drawn after validation and before anything can fail, so a refused request
 * has no arm and whatever happens later counts for the arm drawn (intention to treat); every
 * request is answered exactly once.
 */
import type { Problem, Result } from '../../../shared/kernel/result.ts'
import type { RequestSample } from '../../../shared/sketch/window-record.ts'
import type { DataPlane, InferRequest, ReleaseStatus } from '../../data-plane.ts'
import type { ClosedInterval } from '../../ports.ts'
import { admitRequest } from './admit-request.ts'
import { countRequest } from './count-request.ts'
import { joinLabel } from './join-label.ts'
import { createLabelTable } from './label-table.ts'
import type { LiveRelease } from './live-release.ts'
import type { ModelRoute } from './model-route.ts'
import { createRateLimits } from './rate-limit.ts'
import { createStatisticsTable } from './release-statistics.ts'
import { runRequest } from './request-runner.ts'
import { createRouteTable } from './route-table.ts'
import { createJobWork } from './run-jobs.ts'
import { createRunQueue } from './run-queue.ts'
import { runShadow } from './shadow.ts'
import { createStreamTable } from './stream-table.ts'
import { refuseModel } from './unknown-model.ts'

export interface PlaneOptions {
  readonly nowMs: () => number
  readonly deadlineMsMax: number
  readonly queueLengthMax: number
  /** Told which release runs now, for whoever has to explain a crash; null: none. */
  readonly mark: (live: LiveRelease | null) => void
  /** Runs a task after the answer is on its way. */
  readonly defer: (task: () => void) => void
  readonly onBroke: (live: LiveRelease, problem: Problem) => void
  /** Somebody is bringing this model, beside the plan: its clients are told to wait. */
  readonly isComing?: (model: string) => boolean
}

export interface HostPlane extends DataPlane {
  /** These models are about to be loaded; those that no route serves yet are told to wait for. */
  expect(models: readonly string[]): void
  /** Puts routes in force in one step; those they replace drain and let their sessions go. */
  swap(routes: ReadonlyMap<string, ModelRoute>): void
  /** What was counted since the last call, of the routes in force and of those that drain. */
  flush(): readonly ClosedInterval[]
}

/** A request for a model that is not in memory yet: the device's trouble, not the release's. */
const ASLEEP: RequestSample = { error: 'overloaded', latencyMs: {} }
/** Predictions that wait for their truth. */
const LABELS_MAX = 8_192

export function createHostPlane(options: PlaneOptions): HostPlane {
  const { nowMs, deadlineMsMax } = options
  const labels = createLabelTable(LABELS_MAX)
  const statistics = createStatisticsTable()
  const limits = createRateLimits(nowMs)
  const streams = createStreamTable(nowMs)
  const admission = { limits, streams, statistics }
  const routes = createRouteTable(options.isComing)
  const mark = markOfTurn(options.mark)
  const queue = createRunQueue(options.queueLengthMax, nowMs, createJobWork(mark))
  const runner = { queue, nowMs, deadlineMsMax }
  const counting = {
    statistics,
    labels,
    deadlineMsMax,
    onBroke: (live: LiveRelease, problem: Problem) => {
      streams.endOf((pinned) => pinned === live)
      // What waits for it still runs, beside what took its place.
      queue.oneAtATime(true)
      options.onBroke(live, problem)
    },
    shadow: (route: ModelRoute, { inputs }: InferRequest, servedClass: number) =>
      options.defer(() => runShadow({ queue, mark, statistics }, route, inputs, servedClass)),
  }

  return {
    nowMs,
    async infer(request, encode) {
      const { model } = request
      const asked = routes.of(model)
      const admitted = admitRequest(asked, request, routes.loading(model), admission)
      if (!admitted.ok) {
        if (asked !== undefined && admitted.error.code === 'infer.rate_limited') {
          statistics.refused(model, asked.slots.current.version)
        }
        return admitted
      }
      const { route, draw } = admitted.value
      const stream = request.stream && streams.enter(model, request.stream, draw)
      if (stream?.ok === false) return stream
      const { residence } = draw.live
      route.enter()
      residence?.enter()
      try {
        const waking = wake(draw.live, request, deadlineMsMax)
        const woken = waking && (await waking)
        if (woken?.ok === false) {
          countRequest(counting, request, route, draw, { sample: ASLEEP, run: undefined })
          return woken
        }
        const outcome = await runRequest(runner, request, draw, encode)
        countRequest(counting, request, route, draw, outcome)
        return outcome.result
      } finally {
        residence?.leave()
        route.leave()
        stream?.value()
      }
    },
    ready: routes.ready,
    loading: routes.loading,
    expect: routes.expect,
    queued: (of) => queue.count(({ live }) => isOneOf(live, of)),
    statistics: () => statistics.all(),
    releases: () => routes.all().flatMap(statusOf),
    feedback(model, id, label) {
      const route = routes.of(model)
      return route === undefined
        ? refuseModel(model, routes.loading(model))
        : joinLabel(route, labels, id, label)
    },
    swap(next) {
      routes.swap(next)
      streams.endOf(({ model }) => !next.has(model))
      // What a stream began with may run as well, though no slot holds it any more.
      const mayRun = [...routes.answering(), ...streams.releases()]
      queue.oneAtATime(new Set(mayRun).size > 1)
    },
    flush() {
      streams.endIdle()
      return routes.flush()
    },
  }
}

type Named = Pick<ReleaseStatus, 'model' | 'version'>

const isOneOf = ({ model, version }: LiveRelease, of?: Named): boolean =>
  of === undefined || (model === of.model && version === of.version)

/** Runs that share a turn are of one release: the mark stands from the first to the last. */
function markOfTurn(mark: PlaneOptions['mark']): PlaneOptions['mark'] {
  let running = 0
  return (live) => {
    running += live === null ? -1 : 1
    if (live !== null || running === 0) mark(live)
  }
}

/** Undefined for a session that is in memory, as most are: they go on without a turn of the loop. */
function wake(
  { residence }: LiveRelease,
  { arrivedAtMs, deadlineMs = Infinity }: InferRequest,
  deadlineMsMax: number,
): Promise<Result<undefined>> | undefined {
  return residence?.wake(arrivedAtMs + Math.min(deadlineMs, deadlineMsMax))
}

function statusOf({ slots }: ModelRoute): ReleaseStatus[] {
  const rows: [ReleaseStatus['slot'], LiveRelease | null][] = [
    ['current', slots.current],
    ['candidate', slots.candidate],
    ...slots.others.map((live): [ReleaseStatus['slot'], LiveRelease] => ['other', live]),
  ]
  return rows.flatMap(([slot, live]) => {
    if (live === null) return []
    const { model, version, variant, provider, manifest } = live
    const { inputs, outputs, classes } = manifest
    return [{ model, version, variant: variant.name, slot, provider, inputs, outputs, classes }]
  })
}
