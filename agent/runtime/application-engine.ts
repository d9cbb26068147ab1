/** Where the models of an application run: in its own process, or in a model host beside it. */
import type { Result } from '../../shared/kernel/result.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type { DataPlane, InferAnswer, InferRequest } from '../data-plane.ts'
import type { ResolvedRelease } from '../ports.ts'
import type { BatchChoice } from './batch-settings.ts'

/** A request that can be given up while it is under way. */
export type AskedRequest = InferRequest & { readonly signal?: AbortSignal | undefined }

/** What an application needs of a data plane. */
export interface AskedPlane extends Pick<DataPlane, 'nowMs' | 'releases' | 'statistics'> {
  infer<T>(request: AskedRequest, encode: (answer: InferAnswer) => Result<T>): Promise<Result<T>>
}

export interface ApplicationEngine {
  /** Proves a release, whose file lies at `path`. Errors (thrown): those of the qualification. */
  bring(release: ResolvedRelease, path: string): Promise<void>
  /** Loads all that was brought. Errors (thrown): `runtime.load_failed`, `artifact.*`. */
  start(): Promise<AskedPlane>
  /** Requests under way are answered. */
  close(): Promise<void>
}

export interface EngineOptions {
  readonly profile: FirmwareProfile
  readonly batching: BatchChoice
  readonly queueLengthMax: number
  /** Made by the caller, who removes it after `close`. */
  readonly folder: string
  /** Digest -> path of what the releases consist of. */
  readonly files: ReadonlyMap<string, string>
  /** Told what a person should know. */
  readonly say: (text: string) => void
}
