/**
 * Builds whole releases for runtime tests: a tiny classifier as real ONNX, its golden vectors and its
 * manifest, as files named by digest in a folder. The classifier is `scores = x * W + b` with softmax,
 * so a test can compute by hand what it must answer.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ResolvedRelease, ServedRelease } from '../../../agent/ports.ts'
import { encodeGolden, type GoldenVector } from '../../../shared/model/golden.ts'
import type { Artifact, Manifest } from '../../../shared/model/manifest.ts'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'
import { bytesOf } from '../../../shared/model/tensor-value.ts'
import { encodeModel, type ModelDescription } from '../../../shared/onnx/graph-writer.ts'

export const CLASSES = ['low', 'high']

export const PROFILE: FirmwareProfile = {
  name: 'test-bench',
  title: 'Test bench',
  sources: [],
  cpu: { architecture: 'any', cores: 2 },
  memoryMb: 1024,
  executionProviders: ['cpu'],
  limits: { artifactBytesMax: 1 << 26, sessionMemoryMb: 512, threadsMax: 1, diskMb: 100 },
  precisions: ['fp32'],
}

export interface ReleaseOptions {
  readonly model?: string
  readonly version?: string
  /** Adds to the score of `high`; 0 decides by the sign of the first element. */
  readonly bias?: number
  readonly description?: ModelDescription
  /** Name of the input. */
  readonly input?: string
  /** Golden outputs that the model does not give. */
  readonly wrongGolden?: boolean
  readonly manifest?: Partial<Manifest>
}

/** x [batch, 2] -> scores [batch, 2] = softmax([-x0, x0 + bias]). */
export function tinyClassifier(bias = 0, input = 'x'): ModelDescription {
  const f32 = (name: string, shape: number[], values: number[]) => ({
    name,
    datatype: 'FP32' as const,
    shape,
    data: Float32Array.from(values),
  })
  return {
    irVersion: 8,
    opsets: [{ domain: '', version: 13 }],
    producer: 'linnet-test',
    graph: {
      name: 'tiny',
      inputs: [{ name: input, datatype: 'FP32', shape: ['batch', 2] }],
      outputs: [{ name: 'scores', datatype: 'FP32', shape: ['batch', 2] }],
      initializers: [f32('w', [2, 2], [-1, 1, 0, 0]), f32('b', [2], [0, bias])],
      nodes: [
        { op: 'MatMul', inputs: [input, 'w'], outputs: ['m'] },
        { op: 'Add', inputs: ['m', 'b'], outputs: ['logits'] },
        { op: 'Softmax', inputs: ['logits'], outputs: ['scores'] },
      ],
    },
  }
}

export function softmax(x0: number, bias = 0): [number, number] {
  const high = 1 / (1 + Math.exp(-x0 - (x0 + bias)))
  return [1 - high, high]
}

/** Writes the files and returns what the repository would resolve. */
export function writeRelease(folder: string, options: ReleaseOptions = {}): ResolvedRelease {
  mkdirSync(folder, { recursive: true })
  const { model = 'tiny', version = '1.0.0', bias = 0, wrongGolden = false, input = 'x' } = options
  const artifact = store(
    folder,
    'fp32.onnx',
    encodeModel(options.description ?? tinyClassifier(bias)),
  )
  const golden = store(folder, 'golden.bin', encodeGolden([goldenVector(input, bias, wrongGolden)]))
  const manifest: Manifest = {
    schema: 'linnet.manifest.v1',
    model,
    version,
    createdAtMs: 0,
    inputs: [{ name: input, datatype: 'FP32', shape: ['batch', 2] }],
    outputs: [{ name: 'scores', datatype: 'FP32', shape: ['batch', 2] }],
    finiteInputs: [input],
    variants: [
      {
        name: 'fp32',
        precision: 'fp32',
        profiles: [],
        artifact,
        golden,
        tolerance: { absolute: 1e-5, relative: 1e-4 },
      },
    ],
    features: [{ name: 'x0', tensor: input, reduce: 'element', offset: 0, count: 1 }],
    reference: [
      {
        feature: 'x0',
        edges: [-1, 0, 1],
        counts: [10, 10, 10, 10],
        mean: 0,
        sd: 1,
        autocorrelationRows: 1,
        missing: 0,
        invalid: 0,
      },
    ],
    classes: { tensor: 'scores', names: CLASSES },
    serviceLevels: {
      latencyMsMax: 1_000,
      latencyBadShareMax: 0.05,
      errorRateMax: 0.01,
      qualityDropMax: 0.05,
    },
    lineage: {},
    evaluation: {},
    description: '',
    ...options.manifest,
  }
  const variant = manifest.variants[0]!
  const target = `${model}/${version}/fp32.onnx`
  const { sha256, length } = artifact
  return {
    release: { model, version, variant: 'fp32', target, sha256, length },
    manifest,
    variant,
  }
}

export function served(folder: string, resolved: ResolvedRelease): ServedRelease {
  const modelPath = join(folder, resolved.variant.artifact.sha256)
  return { resolved, provider: 'cpu', modelPath }
}

function goldenVector(input: string, bias: number, wrong: boolean): GoldenVector {
  const x = Float32Array.from([0.5, 0])
  const scores = Float32Array.from(wrong ? [0.5, 0.5] : softmax(0.5, bias))
  const datatype = 'FP32' as const
  return {
    inputs: [{ name: input, datatype, shape: [1, 2], data: bytesOf(x) }],
    outputs: [{ name: 'scores', datatype, shape: [1, 2], data: bytesOf(scores) }],
  }
}

function store(folder: string, file: string, bytes: Uint8Array): Artifact {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  writeFileSync(join(folder, sha256), bytes)
  return { file, sha256, length: bytes.length }
}
