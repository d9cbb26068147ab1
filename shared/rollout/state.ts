/**
 * A rollout as it stands, the events that move it and the records it leaves. JSON throughout.
 *
 * Invariants: `wave` never goes down; a final state is never left, but that a promoted rollout can
 * still be rolled back; every change of state carries its reason.
 */
import type { Verdict } from '../judge/judge.ts'
import type { RolloutSpec } from './spec.ts'

/** One sentence for each state. */
export const ROLLOUT_STATES = {
  draft: 'It is being written and has no effect.',
  awaiting_approval: 'It waits for the approvals that its specification asks for.',
  ready: 'It can be started.',
  running: 'Its wave is being brought out or observed.',
  paused: 'Devices keep what they have; nothing advances until it is resumed, limits still hold.',
  rolling_back: 'Devices are being given the baseline again.',
  rolled_back: 'Devices have what they had before; who still has to follow is named.',
  promoted: 'The candidate is the release of every targeted device.',
  aborted: 'Somebody stopped it; devices go back to what they had before, if anything.',
  failed: 'It could not be carried out.',
} as const
export type RolloutStateName = keyof typeof ROLLOUT_STATES

/** `starting`: nobody serves the candidate yet; `observing`: evidence is being collected. */
type WavePhase = 'starting' | 'observing' | 'passed'

/** Why a rollout is where it is: a stable code and one sentence with the numbers. */
export interface Reason {
  readonly code: string
  readonly sentence: string
}

export interface Rollout {
  readonly id: string
  readonly spec: RolloutSpec
  readonly state: RolloutStateName
  /** Index into spec.waves. */
  readonly wave: number
  readonly wavePhase: WavePhase
  readonly reason: Reason
  readonly approvedBy: readonly string[]
  readonly createdBy: string
  readonly createdAtMs: number
  readonly startedAtMs: number | null
  readonly waveStartedAtMs: number | null
  readonly endedAtMs: number | null
  /** Since when and why devices go back; from the first look at them on. */
  readonly retreat?: { readonly sinceMs: number; readonly reason: Reason }
  /** The newest verdict of this wave, with its evidence. */
  readonly verdict: Verdict | null
}

/** What the reconciler knows of one targeted device, from its reported state. */
export interface TargetedDevice {
  readonly device: string
  readonly profile: string
  readonly online: boolean
  /** Whether the device holds the candidate in a serving slot. */
  readonly candidate: 'absent' | 'installing' | 'serving' | 'failed'
  /** Code of the failure, where there is one, for grouping. */
  readonly failureCode: string | null
  /** When it last refused something that looked like an attack, by its own clock. */
  readonly attackAtMs?: number
  /** The wave that the rollout is in brought it in. */
  readonly isAdded?: boolean
  /** It has counted requests or shadow runs of the candidate in this wave. */
  readonly hasCounted?: boolean
  /** While it is rolled back: no other release is meant for it, and it keeps the candidate. */
  readonly keeps?: boolean
  /** While it is rolled back: why the release that it should have again failed there. */
  readonly backFailureCode?: string
}

export type RolloutCommand =
  | 'start'
  | 'approve'
  | 'deny'
  | 'pause'
  | 'resume'
  | 'promote'
  | 'abort'
  | 'rollback'

export type RolloutEvent =
  /** The publishers took the candidate out of the signed targets. */
  | { readonly kind: 'revoked' }
  | {
      readonly kind: 'command'
      readonly command: RolloutCommand
      readonly actor: string
      /** For `promote`: skip the remaining waves. */
      readonly full: boolean
      readonly note: string
    }
  | {
      readonly kind: 'observed'
      readonly devices: readonly TargetedDevice[]
      /** judge() over this wave's merged windows; null while there are none. */
      readonly verdict: Verdict | null
    }

/** One decision, automatic or a person's, as it is stored and replayed. */
export interface DecisionRecord {
  readonly rollout: string
  readonly atMs: number
  /** `controller` or the operator's name. */
  readonly actor: string
  readonly action: string
  readonly from: RolloutStateName
  readonly to: RolloutStateName
  readonly wave: number
  readonly reason: Reason
  readonly verdict: Verdict | null
}

export const FINAL_STATES: readonly RolloutStateName[] = [
  'rolled_back',
  'promoted',
  'aborted',
  'failed',
]

export function isFinal(rollout: Pick<Rollout, 'state'>): boolean {
  return FINAL_STATES.includes(rollout.state)
}
