/**
 * What the control process and its model host say to each other over the IPC channel, and the
 * options that the host is started with (one JSON argument).
 */
import type { Problem, Result } from '../../../shared/kernel/result.ts'
import type { ClosedInterval, ServedModel, ServedRelease, ServeOutcome } from '../../ports.ts'
import type { RepositoryCommand, RepositoryEntry } from '../../serve/model-repository.ts'
import type { RunSettings } from '../run-settings.ts'
import type { ResidenceChange } from './residency.ts'

export interface HostOptions {
  readonly device: string
  /** Random per start of the agent; with `incarnation` it seeds the draw of arms. */
  readonly boot: string
  /** Counts the hosts of one boot, from 1. */
  readonly incarnation: number
  /** Loopback address and port of the local API; port 0 takes any. */
  readonly listen: { readonly host: string; readonly port: number } | null
  /** gRPC, where it is wanted; port 0 takes any. */
  readonly grpc: { readonly host: string; readonly port: number } | null
  readonly socketPath: string | null
  /** The file in which the host notes which release it is running (see run-mark.ts). */
  readonly markPath: string
  readonly flushMs: number
  /** Memory that all sessions of this host may take. */
  readonly sessionBytesMax: number
  /** Sessions idle for so long leave the memory until they are asked; null: never. */
  readonly idleUnloadMs: number | null
  readonly queueLengthMax: number
  readonly deadlineMsMax: number
  readonly requestBytesMax: number
  /** In the metadata of the server. */
  readonly serverName?: string | undefined
}

/** A release with what the host needs to load it as it was qualified. */
export interface HostRelease extends Omit<ServedRelease, 'settings'>, RunSettings {
  readonly goldenPath: string | null
}

export interface HostModel
  extends Omit<ServedModel, 'current' | 'candidate' | 'previous' | 'others'> {
  readonly current: HostRelease | null
  readonly candidate: HostRelease | null
  readonly previous: HostRelease | null
  readonly others?: readonly HostRelease[]
}

export interface HostPlan {
  readonly planId: number
  readonly generation: number
  readonly models: readonly HostModel[]
}

/** How the requests of a model are drawn from now on: who has the seed can draw them again. */
export interface Drawing {
  readonly model: string
  readonly generation: number
  /** Of `createPrng`. */
  readonly seed: string
  readonly candidate: string
  /** Parts per million. */
  readonly trafficShare: number
  readonly shadow: number
}

export type ToHost =
  /** With the key that its artifacts are encrypted with, where they are. */
  | { readonly kind: 'plan'; readonly plan: HostPlan; readonly artifactKey?: Uint8Array }
  /** Memory that this host's sessions may take from now on. */
  | { readonly kind: 'budget'; readonly bytesMax: number }
  /** What the repository holds beside what the plan serves. */
  | { readonly kind: 'repository'; readonly entries: readonly RepositoryEntry[] }
  /** The outcome of the `change` with this id. */
  | { readonly kind: 'changed'; readonly id: string; readonly result: Result<undefined> }
  | { readonly kind: 'close' }

export type FromHost =
  | {
      readonly kind: 'listening'
      readonly port: number | null
      readonly grpcPort: number | null
      readonly socketPath: string | null
    }
  | { readonly kind: 'cannotListen'; readonly problem: Problem }
  /** The event loop turns. */
  | { readonly kind: 'beat' }
  /** A blocking load begins (`sha256`) or ended (null); the parent waits longer meanwhile. */
  | { readonly kind: 'loading'; readonly sha256: string | null }
  | { readonly kind: 'served'; readonly planId: number; readonly outcome: ServeOutcome }
  /** What was counted since the last one: at most `flushMs` of it is lost when the host dies. */
  | { readonly kind: 'counted'; readonly interval: ClosedInterval }
  /** A session left the memory, or came back. */
  | { readonly kind: 'residence'; readonly change: ResidenceChange }
  /** A plan with a candidate is in force. */
  | { readonly kind: 'drawing'; readonly drawing: Drawing }
  /** Somebody asked the repository API to load or to unload a model. */
  | { readonly kind: 'change'; readonly id: string; readonly command: RepositoryCommand }
  /** The release serves, but not from its optimised file, which is not what the record says. */
  | { readonly kind: 'optimisedRefused'; readonly sha256: string; readonly problem: Problem }
  | { readonly kind: 'broke'; readonly sha256: string; readonly problem: Problem }
