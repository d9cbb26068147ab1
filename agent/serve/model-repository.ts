/**
 * The model repository as the local API sees it: what it holds beside what serves, and a way to ask
 * for a load or an unload. Who may ask, and what follows, is decided in the control process.
 * Source: Triton's "Model Repository Extension".
 */
import { type Err, ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { isSameVersion } from '../../shared/model/names.ts'
import type { ReleaseStatus } from '../data-plane.ts'

export interface RepositoryEntry {
  readonly name: string
  readonly version: string
  readonly state: 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE'
  readonly reason: string
  /** As the load asked for; absent: as the model's shapes say. */
  readonly batchSizeMax?: number
}

export interface RepositoryCommand {
  readonly action: 'load' | 'unload'
  readonly model: string
  /** What clients are to be told as `max_batch_size`, with a load. */
  readonly batchSizeMax?: number | undefined
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

type Change = Pick<RepositoryCommand, 'action' | 'model'>
type Overrides = Pick<RepositoryCommand, 'batchSizeMax'>

/** Errors: `request.malformed`, `request.unsupported`. @param body JSON, or nothing at all. */
export function decodeChangeBody(change: Change, body: string): Result<Overrides> {
  const fields = objectOf(body.trim() === '' ? '{}' : body)
  if (fields === undefined) return refuseBody(change, 'a JSON object, or nothing')
  const { parameters = {} } = fields
  if (!isObject(parameters)) return refuseBody(change, '"parameters" as a JSON object')
  return decodeOverrides(change, Object.entries(parameters))
}

/**
 * `unload_dependents` has nothing to do here: no model depends on another. Of the configuration that
 * Triton lets a load override, only what clients are told and nothing runs by is taken.
 * Errors: `request.malformed`, `request.unsupported`.
 */
export function decodeOverrides(
  change: Change,
  parameters: readonly (readonly [name: string, value: unknown])[],
): Result<Overrides> {
  let overrides: Overrides = {}
  for (const [name, value] of parameters) {
    if (name === 'unload_dependents') continue
    if (name !== 'config' || change.action === 'unload') return refuseParameter(change, name)
    const config = typeof value === 'string' ? objectOf(value) : undefined
    if (config === undefined) return refuseBody(change, 'a config that is a JSON object, as text')
    const { max_batch_size: size, ...rest } = config
    const [unknown] = Object.keys(rest)
    if (unknown !== undefined) return refuseParameter(change, `config of ${unknown}`)
    if (size === undefined) continue
    // Numbers may stand as text, as in ProtoJSON.
    if (!/^[1-9]\d{0,8}$/.test(String(size))) return refuseBody(change, 'a max_batch_size over 0')
    overrides = { batchSizeMax: Number(size) }
  }
  return ok(overrides)
}

function objectOf(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(json)
    return isObject(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Triton's examples look for these words. */
const failedTo = ({ action, model }: Change): string =>
  `failed to ${action} '${model.slice(0, 64)}'`

function refuseBody(change: Change, expected: string): Result<never> {
  return refuse('request.malformed', `${failedTo(change)}, the request cannot be read`, {
    expected,
  })
}

function refuseParameter(change: Change, found: string): Result<never> {
  return refuse(
    'request.unsupported',
    `${failedTo(change)}, models are as they lie in the folder`,
    {
      expected: 'no files in the request, and of a config max_batch_size alone',
      found: found.slice(0, 100),
      next: 'put NAME/VERSION/model.onnx into the folder, then load NAME',
    },
  )
}

/** Errors: `repository.unknown_model`. */
export function noSuchModel(change: Change): Err {
  return refuse(
    'repository.unknown_model',
    `${failedTo(change)}, the repository has no such model`,
    {
      expected: 'NAME/VERSION/model.onnx in the folder',
      found: change.model.slice(0, 64),
    },
  )
}

/** @returns what a load asked to be told; undefined: nothing. */
export function toldBatchSizeMax(
  { entries }: Pick<ModelRepository, 'entries'>,
  model: string,
): number | undefined {
  return entries().find((entry) => entry.name === model && entry.batchSizeMax !== undefined)
    ?.batchSizeMax
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
