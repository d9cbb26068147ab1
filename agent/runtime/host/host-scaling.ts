/**
 * Feeds the scaling policy (shared/balance/scaling.ts) with what the front and the system measure.
 * Starting and ending hosts is the group's.
 */
import {
  type ScalingLimits,
  type ScalingStep,
  scale,
  startScaling,
} from '../../../shared/balance/scaling.ts'
import { memoryOf } from '../qualify/process-memory.ts'
import type { HostMember } from './host-member.ts'

export interface HostScaling {
  sample(load: { utilisation: number; queued: number }, hosts: readonly ScaledHost[]): void
  counts(): { readonly up: number; readonly down: number }
}

type ScaledHost = Pick<HostMember, 'supervisor' | 'baseMb'>

type Told = Exclude<ScalingStep, { readonly kind: 'stay' }>

export function createHostScaling(
  limits: ScalingLimits,
  sessionMemoryMb: number,
  onStep: (step: Told) => void,
): HostScaling {
  let state = startScaling(performance.now())
  let counts = { up: 0, down: 0 }
  return {
    sample(load, hosts) {
      const sample = {
        ...{ atMs: performance.now(), hosts: hosts.length, ...load },
        ...memoryLeft(hosts, sessionMemoryMb),
      }
      const { state: next, step } = scale(state, sample, limits)
      state = next
      if (step.kind === 'stay') return
      if (step.kind !== 'held') counts = { ...counts, [step.kind]: counts[step.kind] + 1 }
      onStep(step)
    },
    counts: () => counts,
  }
}

/** What sessions take is what a host grew by since it began. */
function memoryLeft(
  hosts: readonly ScaledHost[],
  sessionMemoryMb: number,
): { readonly hostMb: number; readonly freeMb: number } {
  const grownMb = hosts.map(({ supervisor, baseMb }) => {
    const pid = supervisor.pid()
    const residentMb = pid === undefined ? null : memoryOf(pid).residentMb
    const emptyMb = baseMb()
    return residentMb === null || emptyMb === null ? 0 : Math.max(0, residentMb - emptyMb)
  })
  const takenMb = grownMb.reduce((sum, mb) => sum + mb, 0)
  return { hostMb: Math.max(0, ...grownMb), freeMb: sessionMemoryMb - takenMb }
}
