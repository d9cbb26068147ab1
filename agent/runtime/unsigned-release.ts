/**
 * A model file that nobody signed or described, as a release that the runtime takes: its tensors and
 * golden vectors are derived from the file in a process that may die. For `linnet serve` and for
 * applications that run a file of their own; a device of the fleet never comes here.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { ok, type Result } from '../../shared/kernel/result.ts'
import type { InputSpec } from '../../shared/model/input-spec.ts'
import type { Artifact, Manifest, Variant } from '../../shared/model/manifest.ts'
import type { ExecutionProvider, FirmwareProfile } from '../../shared/model/profile.ts'
import { readModelSignature } from '../../shared/onnx/model-signature.ts'
import type { ResolvedRelease } from '../ports.ts'
import { deriveInProcess } from './derive-in-process.ts'

/** A file and the name it is asked by. */
export interface UnsignedModel {
  readonly model: string
  readonly version: string
  readonly path: string
}

export interface UnsignedOptions {
  /** How to make trial inputs, by input; what names no input of this model is ignored. */
  readonly spec: InputSpec
  /** Golden vectors are written here. */
  readonly folder: string
  /** Digest -> path; filled with what the release consists of. */
  readonly files: Map<string, string>
}

const DERIVE_MS_MAX = 300_000
const MB = 2 ** 20

/** Errors: those of the qualifier's derivation (`onnx.*`, `admission.*`, `golden.*`, `qualify.*`). */
export async function unsignedRelease(
  file: UnsignedModel,
  { spec, folder, files }: UnsignedOptions,
): Promise<Result<ResolvedRelease>> {
  const golden = join(folder, `${file.model}-${file.version}.golden`)
  const path = resolve(file.path)
  const derived = await deriveInProcess(path, golden, await specFor(path, spec), DERIVE_MS_MAX)
  if (!derived.ok) return derived
  return ok(await describeRelease(file, golden, derived.value, files))
}

/** One specification serves several models: each takes what names its inputs. */
async function specFor(path: string, spec: InputSpec): Promise<InputSpec> {
  const signature = readModelSignature(await readFile(path))
  if (!signature.ok) return {}
  const names = new Set(signature.value.inputs.map(({ name }) => name))
  return Object.fromEntries(Object.entries(spec).filter(([name]) => names.has(name)))
}

async function describeRelease(
  { model, version, path }: UnsignedModel,
  goldenPath: string,
  { inputs, outputs }: Pick<Manifest, 'inputs' | 'outputs'>,
  files: Map<string, string>,
): Promise<ResolvedRelease> {
  const artifact = await artifactAt(resolve(path), 'fp32.onnx', files)
  const golden = await artifactAt(goldenPath, 'golden.bin', files)
  const tolerance = { absolute: 1e-4, relative: 1e-3 }
  const variant: Variant = {
    ...{ name: 'fp32', precision: 'fp32', profiles: [], artifact, golden, tolerance },
  }
  const manifest: Manifest = {
    ...{ schema: 'linnet.manifest.v1', model, version, createdAtMs: 0, inputs, outputs },
    ...{ finiteInputs: [], variants: [variant], features: [], reference: [], classes: null },
    // Nobody promised anything; a minute is where a client would have given up.
    serviceLevels: {
      ...{ latencyMsMax: 60_000, latencyBadShareMax: 1, errorRateMax: 1, qualityDropMax: 1 },
    },
    ...{ lineage: {}, evaluation: {}, description: '' },
  }
  const { sha256, length } = artifact
  const target = `${model}/${version}/fp32.onnx`
  const release = { model, version, variant: 'fp32', target, sha256, length }
  return { release, manifest, variant }
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

/** This machine, with nothing held back but a half of its memory. */
export function localProfile(
  executionProviders: ExecutionProvider[],
  threads: number,
): FirmwareProfile {
  const cores = availableParallelism()
  const memoryMb = Math.floor(totalmem() / MB)
  return {
    ...{ name: 'local', title: 'This machine', sources: [], memoryMb, precisions: ['fp32'] },
    cpu: { architecture: process.arch, cores },
    executionProviders,
    limits: {
      ...{ artifactBytesMax: 2 ** 31 - 1, sessionMemoryMb: Math.floor(memoryMb / 2) },
      ...{ threadsMax: Math.max(1, Math.min(cores, threads || 1)), diskMb: 1 },
    },
  }
}
