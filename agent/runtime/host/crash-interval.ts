/**
 * The count that a crash leaves behind: one request of the release that was running, as `crashed`.
 * The host can no longer count it, and intention to treat wants it counted.
 */

import { windowShape } from '../../../shared/sketch/window.ts'
import type { ClosedInterval, ServePlan } from '../../ports.ts'
import { createIntervalRecorder } from '../plane/interval-recorder.ts'
import { shaOf } from './host-plan.ts'

export function crashInterval(plan: ServePlan, sha256: string): ClosedInterval | undefined {
  const model = plan.models.find(({ current, candidate }) =>
    [current, candidate].some((served) => served !== null && shaOf(served) === sha256),
  )
  if (model === undefined) return undefined
  const rows = [
    { arm: 'baseline' as const, served: model.current },
    { arm: 'canary' as const, served: model.candidate },
  ]
  const arms = rows.flatMap(({ arm, served }) => {
    if (served === null) return []
    const { manifest, variant, release } = served.resolved
    const shape = windowShape(manifest)
    const { version } = manifest
    return [{ arm, sha256: release.sha256, version, variant: variant.name, shape }]
  })
  const recorder = createIntervalRecorder(
    {
      model: model.model,
      generation: plan.generation,
      rollout: model.rollout,
      share: model.candidate === null ? 0 : model.trafficShare,
      arms,
    },
    Date.now,
  )
  const arm = arms.find((entry) => entry.sha256 === sha256)?.arm
  if (arm !== undefined) recorder.record(arm, { error: 'crashed', latencyMs: {} })
  return recorder.flush()
}
