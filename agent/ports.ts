/**
 * What the agent needs from the world. The control process decides with shared/update and performs
 * through these; Node, the browser and the simulation each bring their own.
 */
import type { Problem, Result } from '../shared/kernel/result.ts'
import type { Assignment, RolloutRef } from '../shared/model/assignment.ts'
import type { DeviceNotice, Qualification } from '../shared/model/device.ts'
import type { Artifact, FeatureReference, Manifest, Variant } from '../shared/model/manifest.ts'
import type { ExecutionProvider } from '../shared/model/profile.ts'
import type { Ack, Arm } from '../shared/protocol/messages.ts'
import type { CountNoise } from '../shared/sketch/count-noise.ts'
import type { Window } from '../shared/sketch/window.ts'
import type { AssignmentOrder, DurableState, ReleaseRef, Review } from '../shared/update/state.ts'
import type { RunSettings } from './runtime/run-settings.ts'

export interface Clock {
  /** Since 1970, for stamps; somebody may set it, also back. */
  nowMs(): number
  /** Only ever grows: for how long something took or shall wait. */
  monotonicMs(): number
  /** Runs `task` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, task: () => void): () => void
}

/** A release whose manifest came out of verified metadata. */
export interface ResolvedRelease {
  readonly release: ReleaseRef
  readonly manifest: Manifest
  readonly variant: Variant
  /**
   * Why there are no golden vectors: of a file that nobody signed, no input is known. Never set by a
   * `Repository`; such a release is taken as it is where the reference runs it, and nowhere else.
   */
  readonly unproved?: string
}

/**
 * Verified release metadata. Which problems may pass by themselves is told by the code:
 * `isTransient` in perform.ts.
 */
export interface Repository {
  /** Errors: transient `net.*`, `tuf.*`; permanent `trust.*`, `variant.*`, `release.*`. */
  resolve(release: ReleaseRef): Promise<Result<ResolvedRelease>>
  /** What `resolve` gave before, from the device itself. Errors: `release.not_on_device`. */
  installed(release: ReleaseRef): Promise<Result<ResolvedRelease>>
  artifactUrl(release: ReleaseRef, artifact: Artifact): string
  /** Digests of the further files that the releases with these artifacts need to serve. */
  companions(artifacts: ReadonlySet<string>): Promise<readonly string[]>
  /** Forgets what is kept for `installed`, except of these artifacts. */
  collectGarbage(keep: ReadonlySet<string>): Promise<void>
}

export interface CheckedAssignment {
  readonly assignment: Assignment
  readonly digest: string
  /** False for the very assignment that the device follows already. */
  readonly isNew: boolean
}

/** Who may tell this device what to do: the director's keys, as root names them. */
export interface Trust {
  /**
   * @param serving what answers requests now: it may be assigned again though it is superseded.
   * Errors: transient `net.*`, `tuf.*`; permanent `assignment.*`, `release.*`.
   */
  checkAssignment(
    envelope: string,
    order: AssignmentOrder,
    serving: readonly ReleaseRef[],
  ): Promise<Result<CheckedAssignment>>
  /**
   * A look at newer metadata, for releases that are on this device. `problem` says why there were
   * none, whether the network was down or somebody forged them; never throws for the like.
   */
  review(releases: readonly ReleaseRef[]): Promise<{ review: Review; problem: Problem | null }>
  /** An answer to the question for the time that somebody else made. */
  onRefusedTime?(handler: (problem: Problem) => void): void
  /** Errors: `frame.*`, `message.*`, `ack.device`. */
  openAck(frame: Uint8Array): Promise<Result<Ack>>
}

/** Artifacts by digest, on disk (or in the browser's storage). */
export interface ArtifactStore {
  /** Resumes a partial download; hashes while streaming; only whole, right files get their name. */
  fetch(artifact: Artifact, url: string, signal: AbortSignal): Promise<Result<undefined>>
  /** The whole file, hashed again. Errors: `artifact.missing`, `artifact.digest`. */
  read(sha256: string, lengthMax: number): Promise<Result<Uint8Array>>
  /** A path for a process that hashes the buffer itself; undefined where there are no paths. */
  path(sha256: string): string | undefined
  collectGarbage(keep: ReadonlySet<string>): Promise<void>
}

/** The durable state, replaced whole and atomically. */
export interface StateStore {
  load(): Promise<DurableState | undefined>
  save(durable: DurableState): Promise<void>
}

/** A few small files (or records, in a browser), each replaced whole. */
export interface SmallFiles {
  read(name: string): Promise<string | undefined>
  write(name: string, text: string): Promise<void>
  names(): Promise<readonly string[]>
  remove(name: string): Promise<void>
}

/** The spool's journal: short texts without line breaks. */
export interface SpoolStore {
  /** In the order of writing; records that were not written whole are left out. */
  load(): Promise<readonly string[]>
  /** Resolves once the records survive a power cut. */
  append(records: readonly string[]): Promise<void>
  /** The journal is then exactly these records, or after a crash still what it was. */
  replace(records: readonly string[]): Promise<void>
}

/** What the device tells whoever looks after it; never secrets. */
export interface Log {
  info(message: string, facts?: Readonly<Record<string, unknown>>): void
  warn(message: string, facts?: Readonly<Record<string, unknown>>): void
}

/** One release as the model host must load it. */
export interface ServedRelease {
  readonly resolved: ResolvedRelease
  readonly provider: ExecutionProvider
  readonly modelPath: string
  /** What its session took when it was proved; absent where nothing is known. */
  readonly sessionMb?: number
  /** Of the proof that the provider is of; absent: the usual ones. */
  readonly settings?: RunSettings
}

export interface ServedModel {
  readonly model: string
  readonly current: ServedRelease | null
  readonly candidate: ServedRelease | null
  readonly previous: ServedRelease | null
  /** Answer only who asks for their version; never on a device of a fleet. */
  readonly others?: readonly ServedRelease[]
  /** Parts per million. */
  readonly trafficShare: number
  readonly shadow: number
  readonly rollout: RolloutRef | null
}

export interface ServePlan {
  readonly generation: number
  readonly windowMs: number
  readonly models: readonly ServedModel[]
}

export type ServeOutcome =
  | { readonly served: true }
  /** These could not be loaded; what served before goes on serving. */
  | {
      readonly served: false
      readonly broken: readonly { sha256: string; problem: DeviceNotice['problem'] }[]
    }

export interface ArmWindow {
  readonly arm: Arm
  readonly version: string
  readonly variant: string
  readonly window: Window
  /** To be added before the window is kept or sent; gone from there on. */
  readonly noise?: CountNoise
  /** Of a window with few values: what its sums are to be taken from; gone from there on. */
  readonly features?: readonly FeatureReference[]
}

/** One closed interval of one model, before it gets its boot and sequence number. */
export interface ClosedInterval {
  readonly model: string
  readonly generation: number
  readonly rollout: RolloutRef | null
  readonly share: number
  readonly startedAtMs: number
  readonly durationMs: number
  readonly arms: readonly ArmWindow[]
}

export type RuntimeEvent =
  | { readonly kind: 'interval'; readonly interval: ClosedInterval }
  /** The local guard, or a crash loop, took this release out of service. */
  | {
      readonly kind: 'releaseBroke'
      readonly sha256: string
      readonly problem: DeviceNotice['problem']
    }
  /** The proof of a release was made again, because the one that was kept does not hold any more. */
  | {
      readonly kind: 'provedAgain'
      readonly qualification: Qualification
      readonly problem: DeviceNotice['problem']
    }
  | { readonly kind: 'hostRestarted'; readonly problem: DeviceNotice['problem'] }
  /** There are more or fewer model hosts now, or there should be and cannot; and why. */
  | { readonly kind: 'hostsScaled'; readonly problem: DeviceNotice['problem'] }
  /** Somebody at the device took an assigned model out of service, or brought it back. */
  | {
      readonly kind: 'changedLocally'
      readonly model: string
      readonly problem: DeviceNotice['problem']
    }

/** Where models run: a process of its own on Node, a worker in the browser, a table in simulation. */
export interface Runtime {
  /** Admission, golden vectors and measurements, in a process that may die. */
  qualify(release: ServedRelease['resolved'], signal: AbortSignal): Promise<Result<Qualification>>
  /**
   * Makes the host serve exactly this plan, without losing a request. Sessions of the former plan
   * stay until the new ones are ready.
   */
  serve(plan: ServePlan): Promise<ServeOutcome>
  onEvent(handler: (event: RuntimeEvent) => void): void
  close(): Promise<void>
}

export type UpTopic = 'up/state' | 'up/report' | 'up/telemetry' | 'up/event'

export type LastWill = () => Uint8Array | Promise<Uint8Array>

/** Messages up and down; reconnecting is the transport's business, durability the spool's. */
export interface Transport {
  /**
   * Starts connecting; handlers must be set before. `lastWill` is asked before each connection for
   * the frame that the broker publishes when that connection breaks.
   */
  open(lastWill: LastWill): void
  /** @returns false when not connected or when the send buffer is full: try again later. */
  publish(topic: UpTopic, payload: Uint8Array): boolean
  onMessage(handler: (topic: 'dn/desired' | 'dn/ack', payload: Uint8Array) => void): void
  onConnection(handler: (connected: boolean) => void): void
  close(): Promise<void>
}
