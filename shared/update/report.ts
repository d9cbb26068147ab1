/** The reported state of a device, derived from its machine: it cannot disagree with what it does. */
import type { Qualification, Report, SlotReport } from '../model/device.ts'
import { isRefused, releaseOf } from './slots.ts'
import type { DeviceState, DurableState, Installed, ModelSlots } from './state.ts'

const QUALIFICATIONS_MAX = 8

/** Qualification records of the releases in slots; candidates first, since those are new. At most 8 travel. */
export function qualificationsOf(durable: DurableState): Qualification[] {
  const bySlot = (slot: 'current' | 'candidate' | 'previous') =>
    durable.models.map((slots) => slots[slot]?.qualification)
  const records = [...bySlot('candidate'), ...bySlot('current'), ...bySlot('previous')]
  return records.filter((record) => record !== undefined).slice(0, QUALIFICATIONS_MAX)
}

export function reportOf(state: DeviceState): Report {
  const { durable, attacks, frozen } = state
  return {
    directorEpoch: durable.order.directorEpoch,
    generation: Math.max(0, durable.order.generation),
    status: statusOf(state),
    slots: durable.models.flatMap(slotReports),
    job: jobReport(state),
    failures: durable.failures.map((failure) => ({
      model: failure.release.model,
      version: failure.release.version,
      sha256: failure.release.sha256,
      problem: failure.problem,
    })),
    ...(attacks.length > 0 && { attacks: [...attacks] }),
    ...(frozen && { frozen }),
  }
}

function jobReport({ job, waiting }: DeviceState): Report['job'] {
  if (job !== null) {
    return { model: job.release.model, version: job.release.version, phase: job.phase }
  }
  const next = waiting[0]?.release
  return next === undefined ? null : { model: next.model, version: next.version, phase: 'waiting' }
}

function statusOf(state: DeviceState): Report['status'] {
  const { durable, job, waiting } = state
  if (durable.desired === null) return 'idle'
  if (job !== null || waiting.length > 0) return 'working'
  // Before the question whether the host serves: a release that cannot be loaded never will.
  if (durable.desired.slots.some((slot) => isRefused(durable, releaseOf(slot)))) return 'degraded'
  return state.servedPlan === state.plan ? 'applied' : 'working'
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
            provider: release.qualification.chosen,
            trafficShare,
          },
        ],
  )
}
