/**
 * What the controller can do, apart from how it is asked: HTTP routes call this and nothing else.
 * Refusals are values. Every change is stored before it is answered.
 */

import type {
  DecisionResource,
  DeviceResource,
  EnrolmentTokenResource,
  HealthResource,
  ReleaseResource,
  RolloutResource,
} from '../shared/api/resources.ts'
import type { Result } from '../shared/kernel/result.ts'
import type { AuditEntry, SignedAuditHead } from '../shared/model/audit.ts'
import type { Role } from '../shared/model/role.ts'
import type { RolloutSpec } from '../shared/rollout/spec.ts'
import type { RolloutCommand } from '../shared/rollout/state.ts'
import type { PublicKey } from '../shared/signing/keys.ts'
import type { AuditRecord } from './audit.ts'
import type { TokenOptions } from './enrolment.ts'
import type { OnlineRole } from './signing/online-keys.ts'

export interface Actor {
  readonly name: string
  readonly role: Role
}

/** One change that the console should hear about; `id` grows and is the SSE event id. */
export interface Change {
  readonly id: number
  readonly kind: 'device' | 'release' | 'rollout' | 'decision' | 'notice'
  readonly subject: string
}

export interface PublishedRoles {
  /** The new ones. */
  readonly releases: string[]
  /** Delegated roles that more of their keys have to sign. */
  readonly waiting: { role: string; signatures: number; threshold: number }[]
}

export interface Application {
  health(): Promise<HealthResource>

  /** Adds to the audit trail what was not done through this interface: logins, tokens. */
  record(entry: AuditRecord): Promise<void>
  /** As `record`, for refusals that strangers can cause; bounded, and not waited for. */
  recordRefusal(entry: AuditRecord): void
  /** Oldest first: those after `after`, or the newest ones. */
  audit(
    after: number | undefined,
    limit: number,
  ): Promise<{ entries: AuditEntry[]; head: SignedAuditHead | null }>

  /** One-time or bounded-use enrolment token; the secret is returned once and stored hashed. */
  createEnrolmentToken(
    options: TokenOptions,
    actor: Actor,
  ): Promise<Result<{ token: string; expiresAtMs: number }>>
  /** Without their secrets, newest first. */
  enrolmentTokens(): Promise<EnrolmentTokenResource[]>
  revokeEnrolmentToken(id: string, actor: Actor): Promise<Result<undefined>>
  /** For good: its key and its id never belong to the fleet again. */
  revokeDevice(device: string, note: string, actor: Actor): Promise<Result<undefined>>
  approveDevice(device: string, actor: Actor): Promise<Result<undefined>>
  /** Body: the signed enrolment request of shared/signing, as received. */
  enrol(
    body: Uint8Array,
  ): Promise<Result<{ fleet: string; device: string; mqttUrl: string; wsUrl: string }>>
  listDevices(): Promise<DeviceResource[]>
  getDevice(device: string): Promise<Result<DeviceResource>>
  /** Whether the token, good over HTTP only, was made by the device's key. Errors: of `DeviceProof`. */
  proveDevice(device: string, token: string): Result<undefined>
  /** For devices that cannot trust the retained message: the newest signed assignment. */
  assignmentOf(device: string): Promise<Result<string>>
  /** The time, signed by the director for this question, for devices whose clock is not set. */
  timeFor(device: string, nonce: string): Promise<Result<Uint8Array>>

  /** Public halves of the online keys, for the root ceremony. */
  onlineKeys(): Promise<{ role: OnlineRole; keyId: string; key: PublicKey }[]>
  /** New online keys for these roles; they wait for a root that names them. All roles' keys. */
  prepareOnlineKeys(
    roles: readonly OnlineRole[],
    actor: Actor,
  ): Promise<{ role: OnlineRole; keyId: string; key: PublicKey }[]>
  /**
   * Version 1, or the next in the chain; verified before it is stored. `waiting`: not served before
   * the targets come that its publishers have signed.
   */
  putRoot(bytes: Uint8Array, actor: Actor): Promise<Result<{ version: number; waiting?: boolean }>>
  /** An artifact, before the metadata that names it. Hashed while stored. */
  putArtifact(
    sha256: string,
    body: AsyncIterable<Uint8Array>,
    actor: Actor,
  ): Promise<Result<undefined>>
  /** New top-level targets metadata; its new manifests become releases. */
  putTargets(bytes: Uint8Array, actor: Actor): Promise<Result<PublishedRoles>>
  /** Targets and delegated roles that belong together, by role; all or nothing. */
  putRoles(files: ReadonlyMap<string, Uint8Array>, actor: Actor): Promise<Result<PublishedRoles>>
  listReleases(model?: string): Promise<ReleaseResource[]>
  getRelease(model: string, version: string): Promise<Result<ReleaseResource>>

  /** TUF metadata by file name (`1.root.json`, `timestamp.json` ...). */
  tufMetadata(file: string): Promise<Result<Uint8Array>>
  /** An artifact by digest: its length, and a stream of the range. */
  artifact(
    sha256: string,
  ): Promise<
    Result<{ length: number; open(start: number, end: number): ReadableStream<Uint8Array> }>
  >
  /** Digest and length of a TUF target path as served: `<dir>/<sha256>.<file>`. */
  tufTarget(path: string): Promise<Result<{ sha256: string; length: number }>>

  createRollout(spec: RolloutSpec, actor: Actor): Promise<Result<RolloutResource>>
  commandRollout(
    id: string,
    command: RolloutCommand,
    options: { full: boolean; note: string },
    actor: Actor,
  ): Promise<Result<RolloutResource>>
  /** Newest first; those that have ended come without their devices. */
  listRollouts(actor: Actor, model?: string): Promise<RolloutResource[]>
  getRollout(id: string, actor: Actor): Promise<Result<RolloutResource>>
  decisions(rollout: string): Promise<DecisionResource[]>

  /** Calls back on every change; changes after `sinceId` that are still buffered come first. */
  subscribe(sinceId: number | undefined, onChange: (change: Change) => void): () => void
}
