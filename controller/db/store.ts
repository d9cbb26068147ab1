/**
 * The port to the database. Contract (test/contract/store.contract.ts): `write` is all or nothing
 * and resolves once its rows survive the end of the process; a row replaces the one with the same
 * key, so a batch may be written twice; `load` gives back what the controller keeps in memory.
 * Invariant: rows hold absolute values, never increments. What rows mean together is the
 * controller's matter.
 */

import type { ArmCounts } from '../../shared/judge/arm-counts.ts'
import type { ProfileCounts } from '../../shared/judge/judge.ts'
import type { AuditEntry } from '../../shared/model/audit.ts'
import type {
  DeviceFacts,
  DeviceNotice,
  Presence,
  Qualification,
  Report,
} from '../../shared/model/device.ts'
import type { Manifest } from '../../shared/model/manifest.ts'
import type { Arm } from '../../shared/protocol/messages.ts'
import type { DecisionRecord, Rollout } from '../../shared/rollout/state.ts'
import type { PublicKey } from '../../shared/signing/keys.ts'
import type { Window } from '../../shared/sketch/window.ts'

/** Single values of the fleet, by name. */
interface StoredValue {
  readonly key: string
  readonly value: string
}

/** One file of the TUF repository, by the name under which it is served. */
interface StoredMetadata {
  readonly file: string
  readonly bytes: Uint8Array
  readonly storedAtMs: number
}

export interface StoredDevice {
  readonly device: string
  /** Fingerprint of `publicKey`. */
  readonly deviceKey: string
  readonly publicKey: PublicKey
  readonly facts: DeviceFacts
  readonly enrolledAtMs: number
  readonly revokedAtMs: number | null
  /** null while it waits for an operator's approval. */
  readonly approvedAtMs: number | null
  /** Issue time of the newest enrolment request that was taken; null or absent: none was told. */
  readonly askedAtMs?: number | null
}

/** What one device counted for one rollout, so that it can be withdrawn. */
interface StoredContribution {
  readonly rollout: string
  readonly device: string
  readonly counts: readonly DeviceCounts[]
}

/** Sums over a device's windows of one wave and release. */
export interface DeviceCounts {
  readonly wave: number
  readonly profile: string
  readonly version: string
  readonly counts: ArmCounts
}

/** What a device said of itself last. */
export interface StoredDeviceState {
  readonly device: string
  readonly presence: Presence | null
  readonly lastSeenMs: number | null
  readonly report: Report | null
  readonly reportBoot: string | null
  /** Order of `report` within its boot; 0 before the first. */
  readonly reportSeq: number
  readonly reportAtMs: number
  readonly qualifications: readonly Qualification[]
}

export interface StoredToken {
  /** SHA-256 of the secret. */
  readonly hash: string
  readonly usesLeft: number
  readonly expiresAtMs: number
  /** Added to the facts of whoever enrols with it. */
  readonly labels: Readonly<Record<string, string>>
  /** Whoever enrols with it may be given releases that are not proven. */
  readonly staging: boolean
  readonly createdBy: string
  readonly createdAtMs: number
}

export interface StoredRelease {
  readonly model: string
  readonly version: string
  readonly stage: 'registered' | 'staging' | 'production' | 'archived'
  readonly publishedAtMs: number
  readonly publishedBy: string
  readonly manifestSha256: string
  readonly manifest: Manifest
  readonly signedBy: readonly string[]
}

interface StoredArtifact {
  readonly sha256: string
  readonly length: number
  readonly storedAtMs: number
}

/** The newest assignment of a device. */
export interface StoredAssignment {
  readonly device: string
  readonly directorEpoch: number
  readonly generation: number
  /** SHA-256 of what it asks for, whatever its generation and dates. */
  readonly wantedDigest: string
  /** Whose pulse the device listens to. */
  readonly cohort: string | null
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  /** The signed envelope as it is sent. */
  readonly envelope: string
}

/** What windows are merged by. Counts taken at different traffic shares are never added. */
export interface WindowKey {
  /** null where the window belongs to no rollout that we know; `wave` is then 0. */
  readonly rollout: string | null
  readonly wave: number
  /** Canary's traffic share at the draw, parts per million. */
  readonly share: number
  readonly model: string
  readonly version: string
  readonly arm: Arm
  readonly profile: string
  /** `WindowShape.id`: only windows of one shape merge. */
  readonly shape: string
  /** Since 1970. */
  readonly minute: number
}

export interface StoredWindow extends WindowKey {
  /** Windows of devices in it. */
  readonly messages: number
  readonly window: Window
}

/** Sums over all windows of one wave, profile and release. */
export interface StoredCounts {
  readonly wave: number
  readonly profile: string
  readonly version: string
  readonly counts: ArmCounts
  readonly newestMinute: number
}

/** The messages of one boot of a device that are in the database. */
interface StoredSeen {
  readonly device: string
  readonly boot: string
  /** Sequence numbers as ascending ranges: first, last, first, last ... */
  readonly ranges: readonly number[]
  readonly usedAtMs: number
}

export type DecisionInputs = readonly ProfileCounts[]

export interface StoredDecision {
  readonly id: number
  readonly record: DecisionRecord
  /** The merged counts that the verdict was made from; at most 8 kB. */
  readonly inputs: DecisionInputs
  /** SHA-256 of the counts, also of those that were too many to keep. */
  readonly inputsDigest: string
}

interface StoredNotice {
  readonly id: number
  readonly device: string
  readonly receivedAtMs: number
  readonly notice: DeviceNotice
}

export type StoredAudit = AuditEntry

export interface Rows {
  readonly fleet: StoredValue
  readonly metadata: StoredMetadata
  readonly devices: StoredDevice
  readonly deviceStates: StoredDeviceState
  readonly tokens: StoredToken
  readonly releases: StoredRelease
  readonly artifacts: StoredArtifact
  readonly rollouts: Rollout
  readonly assignments: StoredAssignment
  readonly windows: StoredWindow
  readonly seen: StoredSeen
  readonly contributions: StoredContribution
  readonly decisions: StoredDecision
  readonly notices: StoredNotice
  readonly audit: StoredAudit
}
export type TableName = keyof Rows

/** Tables whose rows may be taken away. */
export type ForgettableTable = 'seen' | 'tokens' | 'metadata' | 'contributions'

/** What is no longer wanted, of tables that grow with time. */
export type Forgotten =
  /** Windows before this minute. */
  | { readonly forgetWindowsBeforeMinute: number }
  /** All notices of this device but its newest. */
  | { readonly forgetNoticesOf: string; readonly keep: number }
  /** Notices that were received before this time. */
  | { readonly forgetNoticesBeforeMs: number }

export type StoreChange =
  | { [T in TableName]: { readonly put: T; readonly row: Rows[T] } }[TableName]
  | { [T in ForgettableTable]: { readonly remove: T; readonly row: Rows[T] } }[ForgettableTable]
  | Forgotten

/** What the controller keeps in memory. */
export interface StoredState
  extends Readonly<{
    [T in Exclude<TableName, 'windows' | 'decisions' | 'notices' | 'audit'>]: readonly Rows[T][]
  }> {
  /** Greatest ids, 0 when there is none. */
  readonly lastIds: { readonly decision: number; readonly notice: number; readonly audit: number }
  /** Of the last audit entry; empty before the first. */
  readonly auditHash: string
}

export interface Store {
  /** @throws ProblemError `store.write_failed`, `store.closed`; nothing of the batch is kept then. */
  write(changes: readonly StoreChange[]): Promise<void>
  load(): Promise<StoredState>
  window(key: WindowKey): Promise<StoredWindow | undefined>
  /** The counts of a rollout's windows, added up over minutes and shares. */
  countsOf(rollout: string): Promise<StoredCounts[]>
  /** Every window of a rollout, or those of the given minutes. */
  windowsOf(rollout: string): Promise<StoredWindow[]>
  windowsBetween(fromMinute: number, toMinute: number): Promise<StoredWindow[]>
  /** Newest first, as the two below. */
  decisionsOf(rollout: string, limit: number): Promise<StoredDecision[]>
  noticesOf(device: string | undefined, limit: number): Promise<StoredNotice[]>
  audit(limit: number): Promise<StoredAudit[]>
  /** Oldest first, those with a greater id. */
  auditAfter(id: number, limit: number): Promise<StoredAudit[]>
  close(): Promise<void>
}

/** One string per row that another row with the same key replaces. */
export const KEY_OF: { readonly [T in TableName]: (row: Rows[T]) => string } = {
  fleet: (row) => row.key,
  metadata: (row) => row.file,
  devices: (row) => row.device,
  deviceStates: (row) => row.device,
  tokens: (row) => row.hash,
  releases: (row) => `${row.model}@${row.version}`,
  artifacts: (row) => row.sha256,
  rollouts: (row) => row.id,
  assignments: (row) => row.device,
  windows: windowKeyText,
  seen: (row) => `${row.device}/${row.boot}`,
  contributions: (row) => `${row.rollout}/${row.device}`,
  decisions: (row) => String(row.id),
  notices: (row) => String(row.id),
  audit: (row) => String(row.id),
}

export function windowKeyText(key: WindowKey): string {
  const { rollout, wave, share, model, version, arm, profile, shape, minute } = key
  return `${rollout ?? ''}/${wave}/${share}/${model}/${version}/${arm}/${profile}/${shape}/${minute}`
}
