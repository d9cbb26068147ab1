/**
 * The case that only a golden vector on the device finds: silero-vad on webgpu. Needs Chromium with
 * WebGPU (its software driver will do) and ../shared/models beside the repository root.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ResolvedRelease } from '../../../agent/ports.ts'
import { decodeGolden, encodeGolden } from '../../../shared/model/golden.ts'
import type { Artifact, Manifest } from '../../../shared/model/manifest.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'
import { bytesOf } from '../../../shared/model/tensor-value.ts'
import { programAt } from '../../../shared/node/program.ts'
import { PROFILE } from '../runtime/release-builder.ts'
import { CHROMIUM, ROOT, withoutChromium } from './chromium.ts'
import { type PageBenches, startPageBenches } from './page-bench.ts'

const MODEL = join(ROOT, '../shared/models/silero-vad/silero_vad.onnx')
const SPEECH = join(ROOT, '../shared/models/silero-vad/test.wav')
const isPresent = existsSync(MODEL)
const WAV_HEADER_BYTES = 44

const TITLE = `With silero-vad of ../shared/models${isPresent ? '' : ' (skipped: absent)'}, in ${CHROMIUM}`

describe.skipIf(withoutChromium || !isPresent)(TITLE, () => {
  let benches: PageBenches
  let page: Page
  let release: ResolvedRelease
  let golden: number
  const folder = mkdtempSync(join(tmpdir(), 'linnet-silero-'))

  beforeAll(async () => {
    benches = await startPageBenches()
    benches.folder = folder
    const made = await createRelease(folder)
    release = made.release
    golden = made.golden
    page = await benches.open({
      profile: { ...PROFILE, executionProviders: ['webgpu', 'wasm'] },
      gpu: true,
      threads: 1,
    })
  })
  afterAll(async () => {
    await benches?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('refuses webgpu in its default layout with the error, and takes it with NCHW', {
    timeout: 120_000,
  }, async (context) => {
    if (!(await page.evaluate(() => globalThis.bench.hasGpu()))) {
      context.skip('this Chromium has no WebGPU adapter')
    }
    expect(golden).toBeCloseTo(0.208, 3)
    const qualified = await page.evaluate((r) => globalThis.bench.qualify(r, false), release)
    const attempts = qualified.ok ? qualified.value.attempts : []
    expect(attempts.map(({ provider, options, outcome }) => [provider, options, outcome])).toEqual([
      ['webgpu', '', 'refused'],
      ['webgpu', 'preferredLayout=NCHW threads=1', 'passed'],
      ['wasm', 'threads=1', 'chosen'],
    ])
    const [wrong, right] = attempts
    // It says 0.041. The exact figure is the driver's, that it is wrong is the library's.
    expect(wrong?.goldenDifferenceMax).toBeGreaterThan(0.1)
    expect(wrong?.reason).toContain('output[0]')
    expect(right?.goldenDifferenceMax).toBeLessThan(1e-4)
  })
})

/** The golden output of the first chunk of speech, computed on cpu as `release create` does. */
async function createRelease(folder: string) {
  const speech = readFileSync(SPEECH)
  // The model wants 64 samples of what was before; before the first chunk was silence.
  const chunk = new Float32Array(64 + 512)
  for (let i = 0; i < 512; i++) {
    chunk[64 + i] = speech.readInt16LE(WAV_HEADER_BYTES + 2 * i) / 32_768
  }
  const tensor = (name: string, shape: number[], data: Float32Array) => ({
    ...{ name, datatype: 'FP32' as const, shape },
    data: bytesOf(data),
  })
  const rate = { name: 'sr', datatype: 'INT64' as const, shape: [] }
  const inputs = [
    tensor('input', [1, 576], chunk),
    tensor('state', [2, 1, 128], new Float32Array(256)),
    { ...rate, data: bytesOf(BigInt64Array.of(16_000n)) },
  ]
  const given = join(folder, 'inputs.bin')
  const out = join(folder, 'golden.bin')
  writeFileSync(given, encodeGolden([{ inputs, outputs: [] }]))
  const { file, execArgv } = programAt(import.meta.url, '../../../agent/runtime/qualifier-main')
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
