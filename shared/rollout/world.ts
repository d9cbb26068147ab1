/**
 * What the reconciler looks at, all of it: `reconcile(world, now)` is a function of this and nothing
 * else, so that simulation runs the very decisions of the controller. JSON but for the maps.
 */
import type { ProfileCounts } from '../judge/judge.ts'
import type { Assignment } from '../model/assignment.ts'
import type { DeviceFacts, Report } from '../model/device.ts'
import type { Manifest } from '../model/manifest.ts'
import type { FirmwareProfile } from '../model/profile.ts'
import type { Rollout } from './state.ts'

/** The newest assignment that was issued to a device. */
interface IssuedAssignment {
  readonly directorEpoch: number
  readonly generation: number
  /** Digest of what it asks for (assign.ts), whatever its generation and dates. */
  readonly wantedDigest: string
  readonly cohort: string | null
  readonly issuedAtMs: number
  readonly expiresAtMs: number
}

export interface WorldDevice {
  readonly device: string
  readonly deviceKey: string
  readonly facts: DeviceFacts
  readonly online: boolean
  readonly report: Report | null
  readonly issued: IssuedAssignment | null
}

/** Merged counts of the wave that a rollout is in. */
export interface WaveEvidence {
  /** The profiles that have counted anything. */
  readonly counts: readonly ProfileCounts[]
  /** When the newest window of the wave arrived. */
  readonly newestAtMs: number | null
  /** Devices whose counts of the candidate are among them. */
  readonly countedBy: ReadonlySet<string>
}

/** How assignments are issued. */
export interface Issuing {
  readonly directorEpoch: number
  readonly minSnapshot: number
  readonly lifetimeMs: number
  readonly windowMs: number
  /** At most so many in one pass; the rest follow in the next. */
  readonly issuesMax: number
}

export interface World {
  readonly fleet: string
  /** Enrolled and not revoked. */
  readonly devices: readonly WorldDevice[]
  readonly rollouts: readonly Rollout[]
  /** By release name, `motor@1.1.0`: those that the targets metadata lists now. */
  readonly releases: ReadonlyMap<string, Manifest>
  /** Of those, by name, the ones that only devices enrolled for staging take. */
  readonly unproven?: ReadonlySet<string>
  readonly profiles: ReadonlyMap<string, FirmwareProfile>
  /** By rollout id. */
  readonly evidence: ReadonlyMap<string, WaveEvidence>
  /** Evidence whose newest window is older does not promote. */
  readonly staleAfterMs: number
  /** null before the first root: nothing can be signed for then. */
  readonly issuing: Issuing | null
}

/** An assignment to sign, and what it stands for. */
export interface Issue {
  readonly assignment: Assignment
  readonly wantedDigest: string
  /** Former cohort, whose pulse the device still listens to. */
  readonly formerCohort: string | null
}
