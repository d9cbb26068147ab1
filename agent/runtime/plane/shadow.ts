/**
 * A shadow run: the candidate computes a request that `current` has answered, only if nobody waits,
 * and the two classes are compared. Its answer, its errors and its time reach nobody; where somebody
 * waits it is dropped, and counted.
 */
import type { TensorValue } from '../../../shared/model/tensor-value.ts'
import type { LiveRelease } from './live-release.ts'
import type { ModelRoute } from './model-route.ts'
import { predictionOf } from './read-answer.ts'
import type { StatisticsTable } from './release-statistics.ts'
import type { JobQueue } from './run-jobs.ts'

interface ShadowOptions {
  readonly queue: Pick<JobQueue, 'runIdle'>
  readonly statistics: Pick<StatisticsTable, 'shadowDropped'>
  readonly mark: (live: LiveRelease | null) => void
}

export function runShadow(
  { queue, mark, statistics }: ShadowOptions,
  route: ModelRoute,
  inputs: readonly TensorValue[],
  servedClass: number,
): void {
  const { candidate } = route.slots
  if (candidate === null || route.drained()) return
  const isTaken = queue.runIdle(async () => {
    if (route.drained()) return
    route.enter()
    mark(candidate)
    try {
      const outputs = await candidate.session.run(inputs)
      const prediction = predictionOf(candidate.manifest.classes, outputs)
      route.recorder().recordShadow(prediction?.classIndex === servedClass)
    } catch {
      route.recorder().recordShadow(false)
    } finally {
      mark(null)
      route.leave()
    }
  })
  if (!isTaken) statistics.shadowDropped(candidate.model, candidate.version)
}
