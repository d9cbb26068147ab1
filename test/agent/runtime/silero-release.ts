/**
 * silero-vad of ../shared/models as a release with one golden vector: the first chunk of its speech, for
 * which cpu says 0.208. On webgpu in the default layout it says 0.041, with NCHW 0.208 again.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ResolvedRelease } from '../../../agent/ports.ts'
import { decodeGolden, encodeGolden } from '../../../shared/model/golden.ts'
import type { Artifact, Manifest } from '../../../shared/model/manifest.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'
import { bytesOf } from '../../../shared/model/tensor-value.ts'
import { programAt } from '../../../shared/node/program.ts'

const FOLDER = new URL('../../../../shared/models/silero-vad/', import.meta.url).pathname
const MODEL = join(FOLDER, 'silero_vad.onnx')
const SPEECH = join(FOLDER, 'test.wav')
const WAV_HEADER_BYTES = 44

export const hasSilero = existsSync(MODEL)

/** What the model takes for the first chunk; before it was silence, of which it wants 64 samples. */
export function firstChunk(): Float32Array {
  const speech = readFileSync(SPEECH)
  const chunk = new Float32Array(64 + 512)
  for (let i = 0; i < 512; i++) {
    chunk[64 + i] = speech.readInt16LE(WAV_HEADER_BYTES + 2 * i) / 32_768
  }
  return chunk
}

/** The golden output of the first chunk of speech, computed on cpu as `release create` does. */
export async function createSileroRelease(folder: string) {
  const tensor = (name: string, shape: number[], data: Float32Array) => ({
    ...{ name, datatype: 'FP32' as const, shape },
    data: bytesOf(data),
  })
  const rate = { name: 'sr', datatype: 'INT64' as const, shape: [] }
  const inputs = [
    tensor('input', [1, 576], firstChunk()),
    tensor('state', [2, 1, 128], new Float32Array(256)),
    { ...rate, data: bytesOf(BigInt64Array.of(16_000n)) },
  ]
  const given = join(folder, 'inputs.bin')
  const out = join(folder, 'golden.bin')
  writeFileSync(given, encodeGolden([{ inputs, outputs: [] }]))
  const { file, execArgv } = programAt(
    import.meta.url,
    '../../../agent/runtime/qualify/qualifier-main',
  )
  const args = ['derive', '--model', MODEL, '--inputs', given, '--out', out]
  const { stdout } = await promisify(execFile)(process.execPath, [...execArgv, file, ...args])
  const tensors = JSON.parse(stdout) as { inputs: TensorSpec[]; outputs: TensorSpec[] }
  const vectors = decodeGolden(readFileSync(out))
  const output = vectors.ok ? vectors.value[0]?.outputs.find(({ name }) => name === 'output') : null
  const golden = output ? new DataView(new Uint8Array(output.data).buffer).getFloat32(0, true) : NaN
  return { release: releaseOf(folder, tensors, out), golden }
}

function releaseOf(
  folder: string,
  tensors: { inputs: TensorSpec[]; outputs: TensorSpec[] },
  golden: string,
): ResolvedRelease {
  const variant = {
    ...{ name: 'fp32', precision: 'fp32' as const, profiles: [] },
    ...{ artifact: store(folder, 'fp32.onnx', MODEL), golden: store(folder, 'golden.bin', golden) },
    tolerance: { absolute: 1e-3, relative: 1e-3 },
  }
  const manifest: Manifest = {
    ...{ schema: 'linnet.manifest.v1', model: 'vad', version: '1.0.0', createdAtMs: 0, ...tensors },
    ...{ finiteInputs: [], variants: [variant], features: [], reference: [], classes: null },
    serviceLevels: {
      ...{ latencyMsMax: 1_000, latencyBadShareMax: 0.05, errorRateMax: 0.01 },
      qualityDropMax: 0.05,
    },
    ...{ lineage: {}, evaluation: {}, description: '' },
  }
  const { sha256, length } = variant.artifact
  const name = { model: 'vad', version: '1.0.0', variant: 'fp32', target: 'vad/1.0.0/fp32.onnx' }
  return { release: { ...name, sha256, length }, manifest, variant }
}

function store(folder: string, file: string, path: string): Artifact {
  const bytes = readFileSync(path)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  writeFileSync(join(folder, sha256), bytes)
  return { file, sha256, length: bytes.length }
}
