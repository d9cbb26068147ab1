/**
 * The publishers of the world: releases of one model with known behaviour, and the only list of
 * digests that may ever be loaded. What a release does when it runs is told by the digest of its
 * artifact, as nothing else of it travels.
 */
import { type Behaviour, HEALTHY } from '../../agent/runtime/fake-behaviour.ts'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { createPrng } from '../../shared/kernel/prng.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import {
  type Artifact,
  MANIFEST_FILE,
  type Manifest,
  type Variant,
} from '../../shared/model/manifest.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type { ReleaseTarget } from '../../shared/model/release-target.ts'
import { releaseTargets, type TargetEntry } from '../../shared/signing/tuf/publish.ts'
import { WORLD_START_MS } from './world.ts'

export const MODEL = 'motor'
const ARTIFACT_BYTES = 400

export interface PublishedRelease {
  readonly version: string
  readonly manifest: Manifest
  /** By digest of the artifact. */
  readonly behaviours: ReadonlyMap<string, Behaviour>
  /** Every file of the release by name, the manifest included. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

type VariantName = 'fp32' | 'int8'

const SLOW: Behaviour = { ...HEALTHY, latencyMsMedian: 18 }
const MISFIT: Behaviour = {
  ...HEALTHY,
  qualificationProblem: { code: 'qualify.golden', message: 'The outputs are not the golden ones.' },
}
const FAILING: Behaviour = { ...HEALTHY, errorRate: 0.25, accuracy: 0.6 }

/** The story that operators go through, in this order, and how it must end without faults. */
export const STORY: readonly {
  readonly version: string
  readonly ends: 'promoted' | 'rolled_back'
  readonly behaviours: Readonly<Record<VariantName, Behaviour>>
}[] = [
  { version: '1.0.0', ends: 'promoted', behaviours: same({ ...HEALTHY, accuracy: 0.93 }) },
  { version: '1.1.0', ends: 'promoted', behaviours: same(HEALTHY) },
  { version: '1.2.0', ends: 'rolled_back', behaviours: same(FAILING) },
  { version: '1.3.0', ends: 'rolled_back', behaviours: { fp32: HEALTHY, int8: MISFIT } },
  { version: '1.4.0', ends: 'rolled_back', behaviours: { fp32: HEALTHY, int8: SLOW } },
  { version: '1.5.0', ends: 'promoted', behaviours: same(HEALTHY) },
]

function same(behaviour: Behaviour): Record<VariantName, Behaviour> {
  return { fp32: behaviour, int8: behaviour }
}

export const PROFILES: readonly FirmwareProfile[] = [
  profile('gateway', ['fp32', 'int8']),
  profile('sensor', ['int8']),
]

export function publishRelease(
  version: string,
  behaviours: Readonly<Record<VariantName, Behaviour>>,
): PublishedRelease {
  const files = new Map<string, Uint8Array>()
  const add = (file: string, bytes: Uint8Array): Artifact => {
    files.set(file, bytes)
    return { file, sha256: sha256Hex(bytes), length: bytes.length }
  }
  const variant = (name: VariantName): Variant => ({
    name,
    precision: name,
    profiles: [],
    artifact: add(`${name}.onnx`, someBytes(`${version}/${name}`)),
    golden: add(`${name}.golden.bin`, someBytes(`${version}/${name}/golden`)),
    tolerance: { absolute: 1e-4, relative: 1e-3 },
  })
  const manifest = manifestOf(version, [variant('fp32'), variant('int8')])
  files.set(MANIFEST_FILE, utf8(JSON.stringify(manifest)))
  const byDigest = manifest.variants.map(({ name, artifact }): [string, Behaviour] => [
    artifact.sha256,
    behaviours[name as VariantName],
  ])
  return { version, manifest, behaviours: new Map(byDigest), files }
}

export function targetsOf(
  release: PublishedRelease,
  releaseCounter: number,
): readonly TargetEntry[] {
  const target: ReleaseTarget = {
    model: MODEL,
    version: release.version,
    profiles: [],
    releaseCounter,
    minCounter: 0,
  }
  const files = [...release.files].map(([file, bytes]) => ({
    file,
    sha256: sha256Hex(bytes),
    length: bytes.length,
  }))
  return releaseTargets(target, files)
}

function manifestOf(version: string, variants: Variant[]): Manifest {
  return {
    schema: 'linnet.manifest.v1',
    model: MODEL,
    version,
    createdAtMs: WORLD_START_MS,
    inputs: [{ name: 'vibration', datatype: 'FP32', shape: ['batch', 6] }],
    outputs: [{ name: 'scores', datatype: 'FP32', shape: ['batch', 4] }],
    finiteInputs: ['vibration'],
    variants,
    features: [],
    reference: [],
    classes: { tensor: 'scores', names: ['still', 'healthy', 'imbalance', 'bearing'] },
    serviceLevels: {
      latencyMsMax: 20,
      latencyBadShareMax: 0.05,
      errorRateMax: 0.02,
      qualityDropMax: 0.1,
    },
    lineage: {},
    evaluation: {},
    description: `Simulated release ${version}.`,
  }
}

function profile(name: string, precisions: FirmwareProfile['precisions']): FirmwareProfile {
  return {
    name,
    title: `Simulated ${name}`,
    sources: [],
    cpu: { architecture: 'arm64', cores: 4 },
    memoryMb: 2_048,
    executionProviders: ['cpu'],
    limits: { artifactBytesMax: 1_000_000, sessionMemoryMb: 512, threadsMax: 4, diskMb: 1_024 },
    precisions,
  }
}

function someBytes(name: string): Uint8Array {
  const prng = createPrng(`linnet-sim/file/${name}`)
  return Uint8Array.from({ length: ARTIFACT_BYTES }, () => prng.below(256))
}
