/**
 * The state of a device's update machine, its events and its effects: JSON in, JSON out.
 *
 * Invariants: a release stands in a slot only after it was verified and qualified on this device;
 * `order` never goes back; `durable` is everything that must survive a power cut.
 */
import type { Problem } from '../kernel/result.ts'
import type { Assignment, RolloutRef } from '../model/assignment.ts'
import type {
  AttackReport,
  DeviceNotice,
  JobPhase,
  Qualification,
  Report,
} from '../model/device.ts'

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
  /** The record made on this device; it names the provider that serves. */
  readonly qualification: Qualification
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

/** Bringing one release onto the device; only one at a time is worked on. */
export interface Job {
  readonly release: ReleaseRef
  readonly phase: Exclude<JobPhase, 'waiting'>
  /** 1 for the first try. */
  readonly attempt: number
}

/** A job that failed for now: others get their turn until `retryAtMs`. */
interface Waiting {
  readonly release: ReleaseRef
  /** The try that comes next. */
  readonly attempt: number
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

/** One kind of refusal, as the device remembers having told it. */
export interface Told extends Pick<DeviceNotice, 'kind' | 'subject'> {
  readonly code: string
  /** When the hour began that `times` counts. */
  readonly sinceMs: number
  readonly times: number
  /** When a report last went out because of it. */
  readonly reportedAtMs: number
}

export interface DeviceState {
  readonly durable: DurableState
  readonly job: Job | null
  readonly waiting: readonly Waiting[]
  /** Counts the arrangements of slots since the start; each asks the model host anew. */
  readonly plan: number
  /** The newest arrangement that the model host confirmed, or -1. */
  readonly servedPlan: number
  /** The newest refusal of each kind of attack since the start. */
  readonly attacks: readonly AttackReport[]
  /** Refusals that were told lately (telling.ts). */
  readonly told: readonly Told[]
  /** Release metadata have expired: what serves goes on, and nothing new is taken. */
  readonly frozen: boolean
}

/** What fresh release metadata, or their absence, say about this device. */
export interface Review {
  readonly directorEpoch: number
  /** Why the metadata count as expired; null while they are fresh, or merely out of reach. */
  readonly frozen: Problem | null
  /** Installed releases that the metadata list no longer. */
  readonly revoked: readonly {
    readonly target: string
    readonly sha256: string
    /** The publishers' policy for when nothing else is left. */
    readonly onRevoked: 'serve' | 'stop'
  }[]
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
  | { readonly kind: 'qualified'; readonly sha256: string; readonly qualification: Qualification }
  | {
      readonly kind: 'jobFailed'
      readonly sha256: string
      readonly problem: Problem
      /** True when trying again later may help: the network, the disk, a busy controller. */
      readonly transient: boolean
    }
  | { readonly kind: 'served'; readonly plan: number }
  | { readonly kind: 'releaseBroke'; readonly sha256: string; readonly problem: Problem }
  /** Its record did not hold any more, and the release has passed once more. */
  | {
      readonly kind: 'provedAgain'
      readonly qualification: Qualification
      readonly problem: Problem
    }
  /** The disk lost or changed the files of an installed release: not the release's fault. */
  | { readonly kind: 'filesLost'; readonly sha256: string }
  | { readonly kind: 'reviewed'; readonly review: Review }
  /** Something was refused that no other event tells of. */
  | { readonly kind: 'attackSeen'; readonly subject: string; readonly problem: Problem }
  | { readonly kind: 'tick' }

export type DeviceEffect =
  | {
      readonly kind: 'checkAssignment'
      readonly envelope: string
      readonly order: AssignmentOrder
      /** What stands in the slots that answer requests. */
      readonly serving: readonly ReleaseRef[]
    }
  | { readonly kind: 'resolve'; readonly release: ReleaseRef }
  | { readonly kind: 'fetch'; readonly release: ReleaseRef }
  | { readonly kind: 'verify'; readonly release: ReleaseRef }
  | { readonly kind: 'qualify'; readonly release: ReleaseRef }
  | { readonly kind: 'persist'; readonly durable: DurableState }
  | {
      readonly kind: 'serve'
      readonly plan: number
      readonly generation: number
      /** Length of a telemetry window. */
      readonly windowMs: number
      readonly models: readonly ModelSlots[]
    }
  | {
      readonly kind: 'report'
      readonly report: Report
      /** Of the releases in slots. */
      readonly qualifications: readonly Qualification[]
    }
  | { readonly kind: 'notify'; readonly notice: DeviceNotice }
  /** Everything else in the artifact store may be deleted. */
  | { readonly kind: 'collectGarbage'; readonly keep: readonly string[] }

export interface Step {
  readonly state: DeviceState
  readonly effects: readonly DeviceEffect[]
}

export const FAILURES_MAX = 16
export const STAGED_MAX = 4
/** Until an assignment says otherwise. */
export const WINDOW_MS_DEFAULT = 60_000

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
    waiting: [],
    plan: 0,
    servedPlan: -1,
    attacks: [],
    told: [],
    frozen: false,
  }
}
