/**
 * The model repository of `linnet serve`: files on disk, brought into service one model at a time,
 * each proved first. Invariants: one change at a time; a model that cannot be loaded leaves what
 * served before in service, and stands in the index with its reason; after a change nothing is
 * LOADING any more.
 */
import { resolve } from 'node:path'
import {
  describeProblem,
  type Err,
  err,
  ok,
  type Problem,
  type Result,
  refuse,
  toProblem,
  unwrap,
} from '../shared/kernel/result.ts'
import { isBatched } from '../shared/model/batch.ts'
import type { Batching } from '../shared/model/device.ts'
import type { Manifest } from '../shared/model/manifest.ts'
import type { ServedModel, ServedRelease } from './ports.ts'
import type { NodeRuntime } from './runtime/node-runtime.ts'
import { unsignedRelease } from './runtime/unsigned-release.ts'
import { findModels, type ModelFile, noModels } from './serve/model-folder.ts'
import {
  type ModelRepository,
  noSuchModel,
  type RepositoryCommand,
  type RepositoryEntry,
  refuseChange,
} from './serve/model-repository.ts'
import type { ServeOptions } from './serve-options.ts'
import type { BrokenRelease } from './serve-plan.ts'
import { temporaryProblem } from './temporary-folder.ts'

export interface ServeRepositoryParts {
  readonly options: Pick<ServeOptions, 'paths' | 'spec' | 'control' | 'loadFirst' | 'versions'>
  readonly runtime: Pick<NodeRuntime, 'qualify' | 'serve' | 'tellRepository'>
  /** Golden vectors are written here. */
  readonly folder: string
  /** Digest -> path, of what serves. */
  readonly files: Map<string, string>
  readonly say: (text: string) => void
}

export interface ServeRepository extends Pick<ModelRepository, 'change'> {
  /**
   * Brings what the command line asks for. @returns the models that serve.
   * Errors (thrown): `serve.no_model` and others of the folder.
   */
  start(): Promise<readonly string[]>
}

type Wish = Pick<RepositoryCommand, 'model' | 'batchSizeMax'>

const NOTHING: readonly BrokenRelease[] = []
const NOTHING_SERVED = 'no model could be served'

export function createServeRepository(parts: ServeRepositoryParts): ServeRepository {
  const { options, runtime } = parts
  const index = createIndex(runtime)
  const served = new Map<string, ServedModel>()
  let turn: Promise<unknown> = Promise.resolve()
  let generation = 0

  /** @returns what could not be loaded. */
  async function putInForce(): Promise<readonly BrokenRelease[]> {
    generation += 1
    const models = [...served.values()]
    const outcome = await runtime.serve({ generation, windowMs: 60_000, models })
    forgetFiles(parts.files, models)
    const broken = outcome.served ? NOTHING : outcome.broken
    for (const { problem } of broken) parts.say(describeProblem(problem))
    return broken
  }

  async function load({ model, batchSizeMax }: Wish): Promise<Result<undefined>> {
    const all = await findModels(options.paths, options.versions)
    if (!all.ok) return all
    const found = all.value.filter((file) => file.model === model)
    if (found.length === 0) return noSuchModel({ action: 'load', model })
    const brought = await bring({ model, batchSizeMax }, found, index, parts)
    if (!brought.ok) return brought
    const former = served.get(model)
    served.set(model, brought.value)
    const broken = await putInForce()
    const failed = broken.find(({ sha256 }) => sha256 === shaOf(brought.value.current))
    if (failed !== undefined) {
      // The host keeps what served before, and so must the next plan.
      if (former === undefined) served.delete(model)
      else served.set(model, former)
      index.tell(model, found.map(entryIn('UNAVAILABLE', describeProblem(failed.problem))))
    }
    settle(served, index, broken)
    if (failed === undefined && batchSizeMax !== undefined) index.override(model, { batchSizeMax })
    return failed === undefined ? ok() : err(failed.problem)
  }

  async function unload(model: string): Promise<Result<undefined>> {
    if (!index.knows(model)) return noSuchModel({ action: 'unload', model })
    index.move(model, 'UNLOADING', '')
    served.delete(model)
    await putInForce()
    index.move(model, 'UNAVAILABLE', 'unloaded')
    return ok()
  }

  /** The host could not load it. */
  function giveUp(sha256: string, problem: Problem): void {
    for (const [model, { current }] of served) {
      if (shaOf(current) !== sha256) continue
      served.delete(model)
      index.move(model, 'UNAVAILABLE', describeProblem(problem))
    }
  }

  function change({ action, ...wish }: Pick<RepositoryCommand, 'action'> & Wish) {
    const done = turn.then(() => (action === 'load' ? load(wish) : unload(wish.model)))
    turn = done.catch(() => undefined)
    return done
  }

  return {
    async change(command) {
      return options.control === 'explicit' ? change(command) : refuseNow()
    },
    async start() {
      await startWith(served, index, parts)
      const broken = await putInForce()
      for (const { sha256, problem } of broken) giveUp(sha256, problem)
      settle(served, index, broken)
      if (options.control === 'none' && served.size === 0) throw new Error(NOTHING_SERVED)
      for (const model of options.loadFirst) {
        const loaded = await change({ action: 'load', model })
        if (!loaded.ok) parts.say(`${model}: ${describeProblem(loaded.error)}`)
      }
      return [...served.keys()]
    },
  }
}

/** What the host loaded is READY; an older version that broke in it stays out of the next plan. */
function settle(
  served: Map<string, ServedModel>,
  index: Index,
  broken: readonly BrokenRelease[],
): void {
  const problems = new Map(broken.map(({ sha256, problem }) => [sha256, problem]))
  for (const [model, slots] of served) {
    const { current, others = [] } = slots
    const releases = current === null ? others : [current, ...others]
    const states = releases.map(({ resolved: { release } }): RepositoryEntry => {
      const problem = problems.get(release.sha256)
      const row = { name: model, version: release.version }
      if (problem === undefined) return { ...row, state: 'READY', reason: '' }
      return { ...row, state: 'UNAVAILABLE', reason: describeProblem(problem) }
    })
    served.set(model, {
      ...slots,
      others: others.filter((other) => !problems.has(shaOf(other) ?? '')),
    })
    index.settle(model, states)
  }
}

/** Everything in the folder into `served`, or nothing yet. Errors (thrown): those of the folder. */
async function startWith(
  served: Map<string, ServedModel>,
  index: Index,
  parts: ServeRepositoryParts,
): Promise<void> {
  const { paths, versions, control } = parts.options
  const all = unwrap(await findModels(paths, versions))
  const models = [...new Set(all.map(({ model }) => model))]
  const filesOf = (model: string) => all.filter((file) => file.model === model)
  for (const model of models) {
    index.tell(model, filesOf(model).map(entryIn('UNAVAILABLE', 'not loaded')))
  }
  if (control === 'explicit') return
  if (models.length === 0) unwrap(noModels())
  for (const model of models) {
    const brought = await bring({ model }, filesOf(model), index, parts)
    if (brought.ok) served.set(model, brought.value)
  }
  if (served.size === 0) throw new Error(NOTHING_SERVED)
}

function refuseNow(): Result<never> {
  const next = 'start it with --model-control explicit'
  return refuseChange('This host loads its models at the start only.', next)
}

interface Index {
  tell(model: string, rows: readonly RepositoryEntry[]): void
  /** All versions of a model into one state. */
  move(model: string, state: RepositoryEntry['state'], reason: string): void
  /** These versions of a model into the states that they have come to. */
  settle(model: string, states: readonly RepositoryEntry[]): void
  /** What serves of it is told otherwise than its shapes say. */
  override(model: string, told: Pick<RepositoryEntry, 'batchSizeMax'>): void
  knows(model: string): boolean
}

/** Every change is told to the host, which answers for it and knows by itself what is READY there. */
function createIndex(runtime: ServeRepositoryParts['runtime']): Index {
  const entries = new Map<string, readonly RepositoryEntry[]>()
  function tell(model: string, rows: readonly RepositoryEntry[]): void {
    entries.set(model, rows)
    const all = [...entries.values()].flat()
    const isSaid = ({ state, batchSizeMax }: RepositoryEntry): boolean =>
      state !== 'READY' || batchSizeMax !== undefined
    runtime.tellRepository(all.filter(isSaid))
  }
  return {
    tell,
    settle(model, states) {
      const settled = (entries.get(model) ?? []).map(
        (row) => states.find(({ version }) => version === row.version) ?? row,
      )
      tell(model, settled)
    },
    knows: (model) => entries.has(model),
    override(model, told) {
      const rows = entries.get(model) ?? []
      tell(
        model,
        rows.map((row) => (row.state === 'READY' ? { ...row, ...told } : row)),
      )
    },
    move(model, state, reason) {
      const rows = entries.get(model) ?? []
      const moved = rows.map(({ name, version }) => ({ name, version, state, reason }))
      tell(model, moved)
    },
  }
}

/** Proves the versions of one model, the newest first. Errors: why none of them can serve. */
async function bring(
  { model, batchSizeMax }: Wish,
  found: readonly ModelFile[],
  index: Index,
  parts: ServeRepositoryParts,
): Promise<Result<ServedModel>> {
  index.tell(model, found.map(entryIn('LOADING', '')))
  const rows: RepositoryEntry[] = []
  const proved: ServedRelease[] = []
  const problems: Problem[] = []
  for (const file of found) {
    const release = await prove(file, parts)
    if (release.ok) proved.push(release.value)
    else problems.push(release.error)
    const row = release.ok
      ? entryIn('LOADING', '')
      : entryIn('UNAVAILABLE', describeProblem(release.error))
    rows.push(row(file))
  }
  index.tell(model, rows)
  const [current, ...others] = proved
  if (current === undefined) return err(problems[0] ?? noSuchModel({ action: 'load', model }).error)
  const fits = checkBatchSize(model, current.resolved.manifest, batchSizeMax)
  if (!fits.ok) {
    index.tell(model, found.map(entryIn('UNAVAILABLE', describeProblem(fits.error))))
    return fits
  }
  return ok({
    ...{ model, current, others, candidate: null, previous: null },
    ...{ rollout: null, trafficShare: 0, shadow: 0 },
  })
}

/** Describes and proves one version; says what came of it. */
async function prove(
  file: ModelFile,
  { options: { spec }, runtime, folder, files, say }: ServeRepositoryParts,
): Promise<Result<ServedRelease>> {
  const name = file.version === '1.0.0' ? file.model : `${file.model} version ${file.version}`
  const refused = (problem: Problem): Err => {
    say(`${name}: ${describeProblem(problem)}`)
    return err(problem)
  }
  const tell = (note: string): void => say(`${name}: ${note}`)
  const whyNot = (cause: unknown) =>
    err(temporaryProblem(cause) ?? toProblem(cause, 'serve.failed'))
  const release = await unsignedRelease(file, { spec, folder, files, say: tell }).catch(whyNot)
  if (!release.ok) return refused(release.error)
  const proof = await runtime.qualify(release.value, new AbortController().signal)
  if (!proof.ok) return refused(proof.error)
  const { chosen, loadMs, steadyMsP50, sessionMb, attempts, batching } = proof.value
  for (const { provider, outcome, reason } of attempts) {
    if (outcome !== 'chosen') say(`${name}: ${provider} ${outcome}: ${reason}`)
  }
  say(`${name}: ${chosen}, loads in ${loadMs.toFixed(0)} ms, runs in ${steadyMsP50.toFixed(2)} ms`)
  if (batching !== undefined) say(`${name}: ${batchingText(batching)}`)
  const known = sessionMb === undefined ? {} : { sessionMb }
  return ok({ resolved: release.value, provider: chosen, modelPath: resolve(file.path), ...known })
}

/** `up to 16 requests run together, 2.2 times as fast`, or why they do not. */
function batchingText({ chosen, reason, singleMs, tried }: Batching): string {
  const ms = tried.find(({ rows }) => rows === chosen)?.msPerRequest ?? singleMs
  if (chosen === 1) return `requests run one by one: ${reason}`
  return `up to ${chosen} requests run together, ${(singleMs / ms).toFixed(1)} times as fast`
}

const entryIn =
  (state: RepositoryEntry['state'], reason: string) =>
  ({ model, version }: ModelFile): RepositoryEntry => ({ name: model, version, state, reason })

const shaOf = (served: ServedRelease | null): string | undefined => served?.resolved.release.sha256

/** Digests are kept for what serves only, or many loads would fill the memory. */
function forgetFiles(files: Map<string, string>, models: readonly ServedModel[]): void {
  const kept = new Set(
    models
      .flatMap(({ current, others = [] }) => [...(current === null ? [] : [current]), ...others])
      .flatMap(({ resolved: { variant } }) => [variant.artifact.sha256, variant.golden.sha256]),
  )
  for (const sha256 of files.keys()) if (!kept.has(sha256)) files.delete(sha256)
}

/** Clients send as many rows as they are told; a model without a batch axis takes one request only. */
function checkBatchSize(
  model: string,
  manifest: Manifest,
  batchSizeMax: number | undefined,
): Result<undefined> {
  if (batchSizeMax === undefined || isBatched(manifest)) return ok()
  return refuse('repository.no_batch', `failed to load '${model}', it has no batch dimension`, {
    expected: 'inputs and outputs whose first dimension is free',
    found: `max_batch_size ${batchSizeMax}`,
  })
}
