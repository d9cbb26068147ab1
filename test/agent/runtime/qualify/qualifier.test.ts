/** Qualification in a process that may die: real children, real ONNX Runtime. */
import { execFile, execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { qualifyInProcess } from '../../../../agent/runtime/qualify/qualify-in-process.ts'
import { decodeGolden } from '../../../../shared/model/golden.ts'
import type { ExecutionProvider } from '../../../../shared/model/profile.ts'
import { elementsOf } from '../../../../shared/model/tensor-value.ts'
import { programAt } from '../../../../shared/node/program.ts'
import { encodeModel } from '../../../../shared/onnx/graph-writer.ts'
import { createBenchReleases } from '../bench-releases.ts'
import { PROFILE, tinyClassifier, writeRelease } from '../release-builder.ts'

const releases = createBenchReleases()
const { folder, good } = releases
afterAll(() => releases.dispose())

const options = (more: { providers?: ExecutionProvider[]; timeMsMax?: number } = {}) => ({
  profile: { ...PROFILE, executionProviders: more.providers ?? ['cpu' as const] },
  artifactPath: (sha256: string) => join(folder, sha256),
  timeMsMax: more.timeMsMax ?? 60_000,
  signal: new AbortController().signal,
})

describe('Qualification', { timeout: 120_000 }, () => {
  it('tries providers in the order of the profile and tells why it did not take the others', async () => {
    const proof = await qualifyInProcess(good, options({ providers: ['coreml', 'wasm', 'cpu'] }))
    expect(proof.ok).toBe(true)
    if (!proof.ok) return
    const { attempts, chosen } = proof.value.qualification
    expect(chosen).toBe('cpu')
    expect(attempts.map(({ provider, outcome }) => [provider, outcome])).toEqual([
      ['coreml', 'unavailable'],
      ['wasm', 'unavailable'],
      ['cpu', 'chosen'],
    ])
    expect(attempts[0]?.reason).toMatch(/^not available: /)
  })

  it('measures load, first run, steady runs and memory', async () => {
    const proof = await qualifyInProcess(good, options())
    expect(proof.ok).toBe(true)
    if (!proof.ok) return
    const { loadMs, firstRunMs, steadyMsP50, steadyMsP95, residentMb, runtimeVersion } =
      proof.value.qualification
    for (const figure of [loadMs, firstRunMs, steadyMsP50, residentMb]) {
      expect(figure).toBeGreaterThan(0)
    }
    expect(steadyMsP95).toBeGreaterThanOrEqual(steadyMsP50)
    expect(runtimeVersion).toMatch(/^\d+\.\d+\.\d+/)
  })

  it('tries no more threads than there are cores for each host, and says so', async () => {
    const profile = { ...PROFILE, limits: { ...PROFILE.limits, threadsMax: 64 } }
    const proof = await qualifyInProcess(good, {
      ...options(),
      profile,
      tuningMs: 5_000,
      hosts: 64,
    })
    const tried = proof.ok ? (proof.value.qualification.tuning?.tried ?? []) : []
    expect(tried.filter(({ options: text }) => !text.startsWith('threads=1'))).toMatchObject([
      {
        ...{ options: 'threads=64', outcome: 'skipped', steadyMsP50: null },
        reason: expect.stringMatching(/^the profile allows 64 threads; \d+ usable cores for 64 /),
      },
    ])
  })

  it('says how far the outputs were from the golden ones', async () => {
    const refused = await qualifyInProcess(releases.wrong, options())
    expect(refused).toMatchObject({
      ok: false,
      error: { code: 'qualify.golden_mismatch', found: expect.stringContaining('scores[0]') },
    })
  })

  it('has a result when the process crashes', async () => {
    const proof = qualifyInProcess(good, options())
    process.kill(await qualifierPid(), 'SIGSEGV')
    expect(await proof).toMatchObject({
      ok: false,
      error: { code: 'qualify.crashed', found: 'SIGSEGV' },
    })
  })

  it('has a result when the process does not end in time', async () => {
    const refused = await qualifyInProcess(good, options({ timeMsMax: 20 }))
    expect(refused).toMatchObject({ ok: false, error: { code: 'qualify.timeout' } })
  })

  it('ends a model that takes more memory than the profile allows', async () => {
    const hog = writeRelease(folder, { version: '2.0.0', description: memoryHog() })
    const refused = await qualifyInProcess(hog, options())
    expect(refused).toMatchObject({ ok: false, error: { code: 'qualify.memory' } })
  })

  it('keeps the proof and the default when comparing settings takes too much memory, and says so', async () => {
    // A run takes 160 MB: one session fits into the limit of 386, two do not.
    const hog = writeRelease(folder, { version: '2.0.1', description: memoryHog(10_000_000n) })
    const { profile, ...rest } = options()
    const limits = { ...profile.limits, sessionMemoryMb: 130 }
    const proof = await qualifyInProcess(hog, {
      ...{ ...rest, profile: { ...profile, limits }, tuningMs: 10_000, batching: 'off' },
    })
    expect(proof.ok ? null : proof.error).toBeNull()
    const qualification = proof.ok ? proof.value.qualification : undefined
    expect(qualification?.attempts).toMatchObject([{ options: 'threads=1', outcome: 'chosen' }])
    expect(qualification?.cut).toContain('more memory than its profile allows')
    expect(qualification?.residentMb).toBeGreaterThan(0)
  })

  it('refuses a file that rotted since it was verified', async () => {
    const refused = await qualifyInProcess(releases.unloadable, options())
    expect(refused).toMatchObject({ ok: false, error: { code: 'artifact.digest' } })
  })

  it('refuses a model that is not what its manifest says', async () => {
    const other = writeRelease(folder, { version: '2.1.0', description: tinyClassifier(0, 'z') })
    expect(await qualifyInProcess(other, options())).toMatchObject({
      ok: false,
      error: { code: 'admission.tensor_mismatch', found: expect.stringContaining('no input x') },
    })
  })
})

describe('The qualifier as a program', { timeout: 120_000 }, () => {
  const { file, execArgv } = programAt(
    import.meta.url,
    '../../../../agent/runtime/qualify/qualifier-main',
  )
  const derive = (...args: string[]) =>
    promisify(execFile)(process.execPath, [...execArgv, file, 'derive', ...args])
  const model = join(folder, 'model.onnx')
  const out = join(folder, 'golden.out')
  writeFileSync(model, encodeModel(tinyClassifier(0.5)))

  it('derives eight golden vectors, the same for the same seed', async () => {
    const { stdout } = await derive('--model', model, '--out', out)
    expect(JSON.parse(stdout)).toMatchObject({
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['batch', 2] }],
      outputs: [{ name: 'scores' }],
      vectors: 8,
      opsets: [{ domain: '', version: 13 }],
    })
    const first = readFileSync(out)
    const vectors = decodeGolden(first)
    expect(vectors.ok && vectors.value.map(({ inputs }) => inputs[0]?.shape)).toEqual(
      Array.from({ length: 8 }, () => [1, 2]),
    )
    await derive('--model', model, '--out', out)
    expect(readFileSync(out).equals(first)).toBe(true)
  })

  it('takes shapes and ranges from the input specification', async () => {
    const spec = JSON.stringify({ x: { shape: [3, 2], min: 5, max: 6 } })
    await derive('--model', model, '--out', out, '--input-spec', spec, '--vectors', '2')
    const vectors = decodeGolden(readFileSync(out))
    const [input] = (vectors.ok && vectors.value[0]?.inputs) || []
    expect(input?.shape).toEqual([3, 2])
    const values = [...elementsOf('FP32', input?.data ?? new Uint8Array())] as number[]
    expect(values.every((value) => value >= 5 && value <= 6)).toBe(true)
  })

  it('refuses what is not ONNX with a problem on stderr', async () => {
    const path = join(folder, 'page.onnx')
    writeFileSync(path, '<html></html>')
    const failed = await derive('--model', path, '--out', out).catch((cause) => cause)
    expect(failed.code).toBe(1)
    expect(JSON.parse(failed.stderr)).toMatchObject({ code: 'onnx.not_a_model' })
  })

  it('refuses a specification for an input that the model does not have', async () => {
    const failed = await derive(
      ...['--model', model, '--out', out, '--input-spec', '{"y":{"value":1}}'],
    ).catch((cause) => cause)
    expect(JSON.parse(failed.stderr)).toMatchObject({
      ...{ code: 'golden.input_spec', found: 'y' },
      next: expect.stringMatching(/^--input-spec '\{"x":\{"shape":\[1,\d+\],"min":0,"max":1\}\}'$/),
    })
  })
})

/** Repeats x into a tensor of 8 bytes a row, 1.6 GB, and takes its greatest, which is x. */
function memoryHog(rows = 200_000_000n) {
  const model = tinyClassifier()
  const repeats = { name: 'n', datatype: 'INT64' as const, shape: [2], data: new BigInt64Array(2) }
  repeats.data.set([rows, 1n])
  const nodes = [
    { op: 'Tile', inputs: ['x', 'n'], outputs: ['huge'] },
    {
      op: 'ReduceMax',
      inputs: ['huge'],
      outputs: ['same'],
      attributes: { axes: { ints: [0] }, keepdims: { int: 1 } },
    },
    { op: 'MatMul', inputs: ['same', 'w'], outputs: ['m'] },
    { op: 'Add', inputs: ['m', 'b'], outputs: ['logits'] },
    { op: 'Softmax', inputs: ['logits'], outputs: ['scores'] },
  ]
  const initializers = [...model.graph.initializers, repeats]
  return { ...model, graph: { ...model.graph, initializers, nodes } }
}

async function qualifierPid(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      const found = execFileSync('pgrep', ['-P', String(process.pid), '-f', 'qualifier-main'])
      return Number(String(found).trim())
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  throw new Error('no qualifier process in 2 s')
}
