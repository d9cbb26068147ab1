/**
 * What is remembered of a request once it has its outcome: running totals, the window of its arm, its
 * prediction for a later label, the local guard, and whether the candidate computes it as well.
 * Takes a few microseconds between the answer and its sending; nothing here may wait.
 */
import type { Problem } from '../../../shared/kernel/result.ts'
import type { InferRequest } from '../../data-plane.ts'
import type { LabelTable } from './label-table.ts'
import type { LiveRelease } from './live-release.ts'
import { guardedRequest } from './local-guard.ts'
import type { Draw, ModelRoute } from './model-route.ts'
import type { StatisticsTable } from './release-statistics.ts'
import type { Outcome } from './request-runner.ts'

export interface CountOptions {
  readonly statistics: StatisticsTable
  readonly labels: LabelTable
  readonly deadlineMsMax: number
  readonly onBroke: (live: LiveRelease, problem: Problem) => void
  /** Computes the request with the candidate too; called for the share that the plan says. */
  readonly shadow: (route: ModelRoute, request: InferRequest, servedClass: number) => void
}

export function countRequest(
  { statistics, labels, deadlineMsMax, onBroke, shadow }: CountOptions,
  request: InferRequest,
  route: ModelRoute,
  { live, arm, recorder }: Draw,
  { sample, run }: Pick<Outcome<unknown>, 'sample' | 'run'>,
): void {
  const { error, prediction } = sample
  statistics.record(live.model, live.version, sample, run)
  if (recorder === undefined) return
  if (request.id !== undefined && prediction !== undefined) {
    const { classIndex } = prediction
    labels.remember(`${live.model}/${request.id}`, { sha256: live.sha256, classIndex })
  }
  recorder.record(arm, sample)
  // Nobody gets an answer after the host's own limit, whatever the release promises.
  const lateMs = Math.min(live.manifest.serviceLevels.latencyMsMax, deadlineMsMax)
  const guarded = guardedRequest(sample, lateMs)
  const problem = guarded && route.watch(live, guarded)
  if (problem !== undefined) onBroke(live, problem)
  const isServed = error === undefined && arm === 'baseline'
  if (isServed && prediction !== undefined && route.drawShadow()) {
    shadow(route, request, prediction.classIndex)
  }
}
