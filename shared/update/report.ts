/** The reported state of a device, derived from its machine: it cannot disagree with what it does. */
import type { Report, SlotReport } from '../model/device.ts'
import { isRefused, releaseOf } from './slots.ts'
import type { DeviceState, Installed, ModelSlots } from './state.ts'

export function reportOf(state: DeviceState): Report {
  const { durable, job } = state
  return {
    directorEpoch: durable.order.directorEpoch,
    generation: Math.max(0, durable.order.generation),
    status: statusOf(state),
    slots: durable.models.flatMap(slotReports),
    job:
      job === null
        ? null
        : { model: job.release.model, version: job.release.version, phase: job.phase },
    failures: durable.failures.map((failure) => ({
      model: failure.release.model,
      version: failure.release.version,
      sha256: failure.release.sha256,
      problem: failure.problem,
    })),
  }
}

function statusOf(state: DeviceState): Report['status'] {
  const { durable, job } = state
  if (durable.desired === null) return 'idle'
  if (job !== null || state.servedGeneration !== durable.order.generation) return 'working'
  const refused = durable.desired.slots.some((slot) => isRefused(durable, releaseOf(slot)))
  return refused ? 'degraded' : 'applied'
}

function slotReports(slots: ModelSlots): SlotReport[] {
  const rows: [SlotReport['slot'], Installed | null, number][] = [
    ['current', slots.current, 1_000_000 - slots.trafficShare],
    ['candidate', slots.candidate, slots.trafficShare],
    ['previous', slots.previous, 0],
  ]
  return rows.flatMap(([slot, release, trafficShare]) =>
    release === null
      ? []
      : [
          {
            slot,
            model: release.model,
            version: release.version,
            variant: release.variant,
            sha256: release.sha256,
            provider: release.provider,
            trafficShare,
          },
        ],
  )
}
