/**
 * The model repository as the local API sees it: what it holds beside what serves, and a way to ask
 * for a load or an unload. Who may ask, and what follows, is decided in the control process.
 * Source: Triton's "Model Repository Extension".
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { isSameVersion } from '../../shared/model/names.ts'
import type { ReleaseStatus } from '../data-plane.ts'

export interface RepositoryEntry {
  readonly name: string
  readonly version: string
  readonly state: 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE'
  readonly reason: string
}

export interface RepositoryCommand {
  readonly action: 'load' | 'unload'
  readonly model: string
  /** The bearer token that came with the request. */
  readonly token: string | undefined
}

export interface ModelRepository {
  /** What nobody can ask now, or what changes; what serves is told by the plane. */
  entries(): readonly RepositoryEntry[]
  /**
   * Resolves when the model serves, or serves no more.
   * Errors: `repository.*`, and those of the qualification.
   */
  change(command: RepositoryCommand): Promise<Result<undefined>>
}

/** For hosts whose models come from elsewhere. */
export const CLOSED_REPOSITORY: ModelRepository = {
  entries: () => [],
  change: () => Promise.resolve(refuseChange('What this host serves is decided elsewhere.')),
}

export function refuseChange(message: string, next?: string): Result<never> {
  return refuse('repository.refused', message, { next })
}

/** Errors: `request.malformed`, `request.unsupported`. @param body JSON, or nothing at all. */
export function checkChange(body: string | undefined): Result<undefined> {
  try {
    const parsed: unknown = JSON.parse(body?.trim() === '' ? '{}' : (body ?? ''))
    const parameters = (parsed as { parameters?: object } | null)?.parameters ?? {}
    return checkParameters(Object.keys(parameters))
  } catch {
    return refuse('request.malformed', 'This is no request to the repository.', {
      expected: 'a JSON object, or nothing',
    })
  }
}

/** `unload_dependents` has nothing to do here: no model depends on another. */
export function checkParameters(names: readonly string[]): Result<undefined> {
  const unknown = names.find((name) => name !== 'unload_dependents')
  if (unknown === undefined) return ok()
  return refuse('request.unsupported', 'Models are loaded as they lie in the repository.', {
    expected: 'no config and no files in the request',
    found: unknown.slice(0, 100),
    next: 'put NAME/VERSION/model.onnx into the folder, then load NAME',
  })
}

/** `Bearer x` -> x. */
export function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer +([\w.~+/=-]{1,256})$/i.exec(header ?? '')?.[1]
}

/** Models that serve first; an entry about a version that serves already says nothing new. */
export function repositoryIndex(
  releases: readonly ReleaseStatus[],
  entries: readonly RepositoryEntry[],
  readyOnly: boolean,
): readonly RepositoryEntry[] {
  const ready = releases.map(
    ({ model, version, slot }): RepositoryEntry => ({
      ...{ name: model, version, state: 'READY' },
      reason: `slot ${slot}`,
    }),
  )
  if (readyOnly) return ready
  const isServed = ({ name, version }: RepositoryEntry): boolean =>
    ready.some((row) => row.name === name && isSameVersion(version, row.version))
  return [...ready, ...entries.filter((entry) => !isServed(entry))]
}
