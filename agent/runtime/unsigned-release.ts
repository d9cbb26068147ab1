/**
 * A model file that nobody signed or described, as a release that the runtime takes: its tensors and
 * golden vectors are derived from the file in a process that may die. For `linnet serve` and for
 * applications that run a file of their own; a device of the fleet never comes here.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { describeProblem, ok, type Result, toProblem, unwrap } from '../../shared/kernel/result.ts'
import { decodeGolden, encodeGolden, type GoldenVector } from '../../shared/model/golden.ts'
import type { InputSpec } from '../../shared/model/input-spec.ts'
import type { Artifact, Manifest, Variant } from '../../shared/model/manifest.ts'
import type { ExecutionProvider, FirmwareProfile } from '../../shared/model/profile.ts'
import { readTestData } from '../../shared/node/onnx-test-data.ts'
import { type ModelSignature, readModelSignature } from '../../shared/onnx/model-signature.ts'
import type { ResolvedRelease } from '../ports.ts'
import { classesFrom } from './class-labels.ts'
import { type Derived, type DeriveTask, deriveInProcess } from './qualify/derive-in-process.ts'
import { unsignedTolerance } from './unsigned-tolerance.ts'

/** A file and the name it is asked by. */
export interface UnsignedModel {
  readonly model: string
  readonly version: string
  readonly path: string
  /** A file with the names of its classes, one in a line. */
  readonly labels?: string
}

export interface UnsignedOptions {
  /** How to make trial inputs, by input; what names no input of this model is ignored. */
  readonly spec: InputSpec
  /** Golden vectors are written here. */
  readonly folder: string
  /** Digest -> path; filled with what the release consists of. */
  readonly files: Map<string, string>
  /** Inputs that the caller has; else ONNX test data beside the file, else made up. */
  readonly trials?: readonly GoldenVector[] | undefined
  /** Told what a person should know of this model's proof. */
  readonly say?: (text: string) => void
  /** Where the model is loaded for the first time; absent: in a process that may die. */
  readonly derive?: (task: DeriveTask) => Promise<Result<Derived>>
}

const DERIVE_MS_MAX = 300_000
const MB = 2 ** 20
const TEST_DATA = /^test_data_set_\d+$/
const silent = (): void => undefined

/**
 * Errors: those of the qualifier's derivation (`onnx.*`, `admission.*`, `golden.*`, `qualify.*`). A
 * model for which no input is known is no error: then `unproved` of the release says why.
 */
export async function unsignedRelease(
  file: UnsignedModel,
  { spec, folder, files, trials, say = silent, derive = deriveInProcess }: UnsignedOptions,
): Promise<Result<ResolvedRelease>> {
  const golden = join(folder, `${file.model}-${file.version}.golden`)
  const model = resolve(file.path)
  const read = readModelSignature(await readFile(model))
  if (!read.ok) return read
  const given = trials ?? (await besideModel(model, read.value, say))
  const inputs = given.length === 0 ? undefined : `${golden}.inputs`
  if (inputs !== undefined) await writeFile(inputs, encodeGolden(given))
  const own = specFor(read.value, spec)
  const task = { model, golden, spec: own, inputs, timeMsMax: DERIVE_MS_MAX }
  const derived = await derive(task)
  if (!derived.ok) return derived
  for (const note of notesOn(derived.value)) say(note)
  const classes = await labelled(file, derived.value, say)
  return ok(await describeRelease(file, golden, { ...derived.value, classes }, files))
}

/** One specification serves several models: each takes what names its inputs. */
function specFor(signature: ModelSignature, spec: InputSpec): InputSpec {
  const names = new Set(signature.inputs.map(({ name }) => name))
  return Object.fromEntries(Object.entries(spec).filter(([name]) => names.has(name)))
}

/** What the ONNX model zoo ships with each model; outputs are computed here all the same. */
async function besideModel(
  model: string,
  { inputs, outputs }: ModelSignature,
  say: (text: string) => void,
): Promise<readonly GoldenVector[]> {
  const folder = dirname(model)
  const entries = await readdir(folder).catch(() => [])
  if (!entries.some((entry) => TEST_DATA.test(entry))) return []
  const names = (tensors: ModelSignature['inputs']) => tensors.map(({ name }) => name)
  try {
    const vectors = await readTestData(folder, { inputs: names(inputs), outputs: names(outputs) })
    return vectors.map((vector) => ({ inputs: vector.inputs, outputs: [] }))
  } catch (cause) {
    say(`test data beside the model cannot be used: ${toProblem(cause, 'golden.missing').message}`)
    return []
  }
}

async function labelled(
  { labels }: UnsignedModel,
  { outputs }: Derived,
  say: (text: string) => void,
): Promise<Manifest['classes']> {
  if (labels === undefined) return null
  const text = await readFile(labels, 'utf8').catch(() => '')
  const classes = classesFrom(text, outputs)
  if (classes.ok) return classes.value
  say(describeProblem(classes.error))
  return null
}

function notesOn({ random, unproved }: Derived): string[] {
  const notes: string[] = []
  if (unproved !== undefined) {
    notes.push(`NOT PROVED on inputs, for none is known that it takes: ${unproved}`)
  }
  if (random.length > 0) {
    notes.push(`not compared, for they differ from run to run: ${random.join(', ')}`)
  }
  return notes
}

async function describeRelease(
  { model, version, path }: UnsignedModel,
  goldenPath: string,
  { inputs, outputs, unproved, classes }: Derived & Pick<Manifest, 'classes'>,
  files: Map<string, string>,
): Promise<ResolvedRelease> {
  const artifact = await artifactAt(resolve(path), 'fp32.onnx', files)
  const golden = await artifactAt(goldenPath, 'golden.bin', files)
  const tolerance = unsignedTolerance(unwrap(decodeGolden(await readFile(goldenPath), true)))
  const variant: Variant = {
    ...{ name: 'fp32', precision: 'fp32', profiles: [], artifact, golden, tolerance },
  }
  const manifest: Manifest = {
    ...{ schema: 'linnet.manifest.v1', model, version, createdAtMs: 0, inputs, outputs },
    ...{ finiteInputs: [], variants: [variant], features: [], reference: [], classes },
    // Nobody promised anything; a minute is where a client would have given up.
    serviceLevels: {
      ...{ latencyMsMax: 60_000, latencyBadShareMax: 1, errorRateMax: 1, qualityDropMax: 1 },
    },
    ...{ lineage: {}, evaluation: {}, description: '' },
  }
  const { sha256, length } = artifact
  const target = `${model}/${version}/fp32.onnx`
  const release = { model, version, variant: 'fp32', target, sha256, length }
  return { release, manifest, variant, ...(unproved === undefined ? {} : { unproved }) }
}

async function artifactAt(
  path: string,
  file: string,
  files: Map<string, string>,
): Promise<Artifact> {
  const bytes = await readFile(path)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  files.set(sha256, path)
  return { file, sha256, length: bytes.length }
}

/**
 * This machine, with nothing held back but a half of its memory.
 * @param sessionMemoryMb for all models together, where somebody said so
 */
export function localProfile(
  executionProviders: ExecutionProvider[],
  threads: number,
  sessionMemoryMb: number | null = null,
): FirmwareProfile {
  const cores = availableParallelism()
  const memoryMb = Math.floor(totalmem() / MB)
  return {
    ...{ name: 'local', title: 'This machine', sources: [], memoryMb, precisions: ['fp32'] },
    cpu: { architecture: process.arch, cores },
    executionProviders,
    limits: {
      artifactBytesMax: 2 ** 31 - 1,
      sessionMemoryMb: sessionMemoryMb ?? Math.floor(memoryMb / 2),
      ...{ threadsMax: Math.min(cores, threads), diskMb: 1 },
    },
  }
}
