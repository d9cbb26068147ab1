/**
 * The state of a device's update machine, its events and its effects: JSON in, JSON out.
 *
 * Invariants: a release stands in a slot only after it was verified and qualified on this device;
 * `order` never goes back; `durable` is everything that must survive a power cut.
 */
import type { Problem } from '../kernel/result.ts'
import type { Assignment, RolloutRef } from '../model/assignment.ts'
import type { DeviceNotice, JobPhase, Report } from '../model/device.ts'
import type { ExecutionProvider } from '../model/profile.ts'

/** One release, in the variant that was assigned, named by the digest of its artifact. */
export interface ReleaseRef {
  readonly model: string
  readonly version: string
  readonly variant: string
  readonly target: string
  readonly sha256: string
  readonly length: number
}

/** A release that is verified and qualified here and can serve without a download. */
export interface Installed extends ReleaseRef {
  readonly provider: ExecutionProvider
}

/** The slots of one model. `candidate` gets requests only together with `current`. */
export interface ModelSlots {
  readonly model: string
  readonly current: Installed | null
  readonly candidate: Installed | null
  readonly previous: Installed | null
  /** Parts per million of requests for the candidate. */
  readonly trafficShare: number
  readonly shadow: number
  readonly rollout: RolloutRef | null
}

/** Bringing one release onto the device. `attempt` counts the tries since the last success. */
export interface Job {
  readonly release: ReleaseRef
  readonly phase: JobPhase
  readonly attempt: number
  /** In phase `waiting`: when the next attempt starts. */
  readonly retryAtMs: number
}

/** A release that failed here; not tried again for the same rollout (EVE keeps the same memory). */
export interface Failure {
  readonly release: ReleaseRef
  readonly rollout: string | null
  readonly problem: Problem
}

/** Order of assignments: director epoch first, then generation. */
export interface AssignmentOrder {
  readonly directorEpoch: number
  readonly generation: number
  /** SHA-256 of the envelope that was accepted last, to tell a repetition from a forgery. */
  readonly digest: string
}

export interface DurableState {
  readonly schema: 'linnet.device.v1'
  readonly order: AssignmentOrder
  readonly desired: Assignment | null
  readonly models: readonly ModelSlots[]
  /** Qualified but not in a slot yet. */
  readonly staged: readonly Installed[]
  readonly failures: readonly Failure[]
}

export interface DeviceState {
  readonly durable: DurableState
  readonly job: Job | null
  /** The generation whose slots the model host confirmed, or -1. */
  readonly servedGeneration: number
}

export type DeviceEvent =
  | { readonly kind: 'started' }
  | { readonly kind: 'desiredReceived'; readonly envelope: string }
  | {
      readonly kind: 'assignmentAccepted'
      readonly assignment: Assignment
      readonly digest: string
    }
  | { readonly kind: 'assignmentRefused'; readonly problem: Problem }
  | { readonly kind: 'resolved'; readonly sha256: string }
  | { readonly kind: 'fetched'; readonly sha256: string }
  | { readonly kind: 'verified'; readonly sha256: string }
  | { readonly kind: 'qualified'; readonly sha256: string; readonly provider: ExecutionProvider }
  | {
      readonly kind: 'jobFailed'
      readonly sha256: string
      readonly problem: Problem
      /** True when trying again later may help: the network, the disk, a busy controller. */
      readonly transient: boolean
    }
  | { readonly kind: 'served'; readonly generation: number }
  | { readonly kind: 'releaseBroke'; readonly sha256: string; readonly problem: Problem }
  | { readonly kind: 'tick' }

export type DeviceEffect =
  | { readonly kind: 'checkAssignment'; readonly envelope: string; readonly order: AssignmentOrder }
  | { readonly kind: 'resolve'; readonly release: ReleaseRef }
  | { readonly kind: 'fetch'; readonly release: ReleaseRef }
  | { readonly kind: 'verify'; readonly release: ReleaseRef }
  | { readonly kind: 'qualify'; readonly release: ReleaseRef }
  | { readonly kind: 'persist'; readonly durable: DurableState }
  | {
      readonly kind: 'serve'
      readonly generation: number
      readonly models: readonly ModelSlots[]
    }
  | { readonly kind: 'report'; readonly report: Report }
  | { readonly kind: 'notify'; readonly notice: DeviceNotice }
  /** Everything else in the artifact store may be deleted. */
  | { readonly kind: 'collectGarbage'; readonly keep: readonly string[] }

export interface Step {
  readonly state: DeviceState
  readonly effects: readonly DeviceEffect[]
}

export const FAILURES_MAX = 16
export const STAGED_MAX = 4

export function initialDeviceState(): DeviceState {
  return {
    durable: {
      schema: 'linnet.device.v1',
      order: { directorEpoch: 0, generation: -1, digest: '' },
      desired: null,
      models: [],
      staged: [],
      failures: [],
    },
    job: null,
    servedGeneration: -1,
  }
}
