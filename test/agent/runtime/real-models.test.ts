/**
 * The runtime on models that nobody here wrote, from ../shared/models beside the repository root;
 * skipped where that folder is absent.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import type { ResolvedRelease } from '../../../agent/ports.ts'
import { createNodeRuntime } from '../../../agent/runtime/node-runtime.ts'
import type { Manifest } from '../../../shared/model/manifest.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'
import { programAt } from '../../../shared/node/program.ts'
import { PROFILE, served } from './release-builder.ts'

const MODELS = fileURLToPath(new URL('../../../../shared/models/', import.meta.url))
const isPresent = existsSync(MODELS)
const folder = mkdtempSync(join(tmpdir(), 'linnet-models-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const SILERO_INPUTS = {
  input: { shape: [1, 512] },
  state: { shape: [2, 1, 128], value: 0 },
  sr: { value: 16_000 },
}

/** A release as `release create` makes it: tensors and golden vectors from the qualifier program. */
async function releaseOf(file: string, model: string, version: string, spec: object = {}) {
  const { file: program, execArgv } = programAt(
    import.meta.url,
    '../../../agent/runtime/qualify/qualifier-main',
  )
  const path = join(MODELS, file)
  const out = join(folder, 'golden.bin')
  const args = ['derive', '--model', path, '--out', out, '--input-spec', JSON.stringify(spec)]
  const { stdout } = await promisify(execFile)(process.execPath, [...execArgv, program, ...args])
  const { inputs, outputs } = JSON.parse(stdout) as { inputs: TensorSpec[]; outputs: TensorSpec[] }
  const artifact = store('fp32.onnx', readFileSync(path))
  const golden = store('golden.bin', readFileSync(out))
  const tolerance = { absolute: 1e-4, relative: 1e-3 }
  const variant = {
    ...{ name: 'fp32', precision: 'fp32' as const, profiles: [] },
    ...{ artifact, golden, tolerance },
  }
  const manifest: Manifest = {
    ...{ schema: 'linnet.manifest.v1', model, version, createdAtMs: 0, inputs, outputs },
    ...{ finiteInputs: [], variants: [variant], features: [], reference: [], classes: null },
    serviceLevels: {
      ...{ latencyMsMax: 1_000, latencyBadShareMax: 0.05, errorRateMax: 0.01 },
      qualityDropMax: 0.05,
    },
    ...{ lineage: {}, evaluation: {}, description: '' },
  }
  const target = `${model}/${version}/fp32.onnx`
  const { sha256, length } = artifact
  const release = { model, version, variant: 'fp32', target, sha256, length }
  return { release, manifest, variant } satisfies ResolvedRelease
}

function store(file: string, bytes: Uint8Array) {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  writeFileSync(join(folder, sha256), bytes)
  return { file, sha256, length: bytes.length }
}

function runtimeAt(name: string) {
  return createNodeRuntime({
    device: 'device-1',
    boot: 'boot-1',
    profile: PROFILE,
    directory: join(folder, name),
    artifactPath: (sha256) => join(folder, sha256),
    listen: { host: '127.0.0.1', port: 0 },
    socketPath: null,
    limits: { tuningMs: 200 },
  })
}

const planOf = (generation: number, current: ResolvedRelease, previous?: ResolvedRelease) => ({
  generation,
  windowMs: 60_000,
  models: [
    {
      model: current.release.model,
      current: served(folder, current),
      candidate: null,
      previous: previous === undefined ? null : served(folder, previous),
      trafficShare: 0,
      shadow: 0,
      rollout: null,
    },
  ],
})

const TITLE = 'With real models of ../shared/models (skipped when absent)'

describe.skipIf(!isPresent)(TITLE, { timeout: 120_000 }, () => {
  it('refuses silero_vad_half for silero_vad, and takes silero_vad_16k_op15', async () => {
    const { sr: _, ...withoutRate } = SILERO_INPUTS
    const file = (name: string) => `silero-vad/${name}.onnx`
    const current = await releaseOf(file('silero_vad'), 'vad', '1.0.0', SILERO_INPUTS)
    const half = await releaseOf(file('silero_vad_half'), 'vad', '2.0.0', withoutRate)
    const alike = await releaseOf(file('silero_vad_16k_op15'), 'vad', '3.0.0', SILERO_INPUTS)
    const runtime = runtimeAt('silero')
    const { signal } = new AbortController()
    expect((await runtime.qualify(current, signal)).ok).toBe(true)
    expect(await runtime.serve(planOf(1, current))).toEqual({ served: true })
    expect(await runtime.qualify(half, signal)).toMatchObject({
      ok: false,
      error: { code: 'admission.signature_changed', found: expect.stringContaining('no input sr') },
    })
    expect(await runtime.qualify(alike, signal)).toMatchObject({ ok: true })
    await runtime.close()
  })

  it('swaps UltraFace slim for RFB under binary requests and loses none', async () => {
    const slim = await releaseOf('ultraface/version-slim-320.onnx', 'faces', '1.0.0')
    const rfb = await releaseOf('ultraface/version-RFB-320.onnx', 'faces', '1.1.0')
    const runtime = runtimeAt('ultraface')
    const { signal } = new AbortController()
    expect((await runtime.qualify(slim, signal)).ok).toBe(true)
    expect((await runtime.qualify(rfb, signal)).ok).toBe(true)
    await runtime.serve(planOf(0, slim))
    const address = await runtime.address()
    const port = address.ok ? address.value.port : 0
    const header = JSON.stringify({
      inputs: [
        {
          ...{ name: 'input', datatype: 'FP32', shape: [1, 3, 240, 320] },
          parameters: { binary_data_size: 921_600 },
        },
      ],
      parameters: { binary_data_output: true },
    })
    const body = Buffer.concat([Buffer.from(header), Buffer.alloc(921_600)])
    const versions = new Set<string | null>()
    let isSwapping = true
    let sent = 0
    let answered = 0
    const client = async () => {
      while (isSwapping) {
        sent += 1
        const answer = await fetch(`http://127.0.0.1:${port}/v2/models/faces/infer`, {
          method: 'POST',
          headers: { 'inference-header-content-length': String(header.length) },
          body,
        })
        expect(answer.status).toBe(200)
        versions.add(answer.headers.get('linnet-release'))
        await answer.arrayBuffer()
        answered += 1
      }
    }
    const clients = [client(), client()]
    for (let i = 1; i <= 10; i++) {
      const [current, previous] = i % 2 === 0 ? [slim, rfb] : [rfb, slim]
      expect(await runtime.serve(planOf(i, current, previous))).toEqual({ served: true })
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    isSwapping = false
    await Promise.all(clients)
    await runtime.close()
    expect(answered).toBe(sent)
    expect([...versions].toSorted()).toEqual(['faces@1.0.0', 'faces@1.1.0'])
  })
})
