/**
 * Proofs over restarts of the agent, and the optimised model file: real qualifiers, a real host. The
 * model folds a long chain of constants when it is loaded, so that an optimised file always pays.
 */
import { randomBytes } from 'node:crypto'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { artifactCipher } from '../../../../agent/artifact/artifact-cipher.ts'
import { artifactContext } from '../../../../agent/artifact/sealed-files.ts'
import type { ResolvedRelease, RuntimeEvent } from '../../../../agent/ports.ts'
import type { ResidenceChange } from '../../../../agent/runtime/host/residency.ts'
import { createNodeRuntime, type NodeRuntime } from '../../../../agent/runtime/node-runtime.ts'
import {
  type QualificationRecord,
  sealRecord,
} from '../../../../agent/runtime/qualify/qualification-record.ts'
import { unwrap } from '../../../../shared/kernel/result.ts'
import type { Qualification } from '../../../../shared/model/device.ts'
import { generatePrivateKey, nodeSigner } from '../../../../shared/node/signer-node.ts'
import { PROFILE, served, softmax, tinyClassifier, writeRelease } from '../release-builder.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-proofs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const device = nodeSigner(generatePrivateKey('ed25519'))
const release = writeRelease(folder, { description: foldsConstants() })
const { sha256 } = release.release

/** The tiny classifier, with a zero added to its bias that takes hundred million multiplications. */
function foldsConstants() {
  const model = tinyClassifier()
  const ints = (name: string, values: bigint[]) => ({
    ...{ name, datatype: 'INT64' as const, shape: [values.length] },
    data: BigInt64Array.from(values),
  })
  const chain = Array.from({ length: 12 }, (_, i) => ({
    ...{ op: 'MatMul', inputs: [`z${i}`, 'z0'], outputs: [`z${i + 1}`] },
  }))
  const nodes = [
    { op: 'ConstantOfShape', inputs: ['square'], outputs: ['z0'] },
    ...chain,
    { op: 'Gather', inputs: ['z12', 'first'], outputs: ['row'] },
    { op: 'Slice', inputs: ['row', 'from', 'to', 'axis'], outputs: ['zero'] },
    { op: 'MatMul', inputs: ['x', 'w'], outputs: ['m'] },
    { op: 'Add', inputs: ['m', 'b'], outputs: ['a'] },
    { op: 'Add', inputs: ['a', 'zero'], outputs: ['logits'] },
    { op: 'Softmax', inputs: ['logits'], outputs: ['scores'] },
  ]
  const constants = [
    ...[ints('square', [512n, 512n]), ints('first', [0n])],
    ...[ints('from', [0n]), ints('to', [2n]), ints('axis', [1n])],
  ]
  const initializers = [...model.graph.initializers, ...constants]
  return { ...model, graph: { ...model.graph, initializers, nodes } }
}

interface Life {
  readonly runtime: NodeRuntime
  readonly events: RuntimeEvent[]
  readonly provedAgain: () => { qualification: Qualification; problem: { code: string } }[]
}
const lives: NodeRuntime[] = []
afterEach(async () => {
  for (const runtime of lives.splice(0)) await runtime.close()
})

/** One life of the agent's runtime over the same directory. */
function start(home: string, more: object = {}): Life {
  const runtime = createNodeRuntime({
    ...{ device: 'device-1', boot: 'boot-1', profile: PROFILE, directory: join(folder, home) },
    artifactPath: (digest) => join(folder, digest),
    listen: { host: '127.0.0.1', port: 0 },
    socketPath: null,
    signer: device,
    limits: { flushMs: 50, tuningMs: 200 },
    batching: 'off',
    ...more,
  })
  lives.push(runtime)
  const events: RuntimeEvent[] = []
  runtime.onEvent((event) => void events.push(event))
  const provedAgain = () => events.flatMap((event) => (event.kind === 'provedAgain' ? [event] : []))
  return { runtime, events, provedAgain }
}

const serve = (
  { runtime }: Life,
  resolved: ResolvedRelease = release,
  modelPath = join(folder, resolved.release.sha256),
) => {
  const current = { ...served(folder, resolved), modelPath }
  const model = { model: 'tiny', current, candidate: null, previous: null, rollout: null }
  const models = [{ ...model, trafficShare: 0, shadow: 0 }]
  return runtime.serve({ generation: 1, windowMs: 1_000, models })
}

async function ask({ runtime }: Life): Promise<number[]> {
  const { port } = unwrap(await runtime.address())
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 0] }]
  const url = `http://127.0.0.1:${port}/v2/models/tiny/infer`
  const answer = await fetch(url, { method: 'POST', body: JSON.stringify({ inputs }) })
  const { outputs } = (await answer.json()) as { outputs: { data: number[] }[] }
  return outputs[0]?.data ?? []
}

const qualify = ({ runtime }: Life) => runtime.qualify(release, new AbortController().signal)
const recordPath = (home: string): string => {
  const directory = join(folder, home, 'qualified')
  const name = readdirSync(directory).find((file) => file.endsWith('.json')) ?? 'none'
  return join(directory, name)
}
const optimisedPath = (home: string): string => recordPath(home).replace(/json$/, 'onnx')

async function installed(home: string): Promise<Qualification> {
  const life = start(home)
  const qualification = unwrap(await qualify(life))
  await life.runtime.close()
  lives.pop()
  return qualification
}

async function provedAgain(life: Life): Promise<ReturnType<Life['provedAgain']>> {
  await waitFor(() => life.provedAgain().length > 0)
  return life.provedAgain()
}

async function waitFor(isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 600 && !isTrue(); i++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe('A proof over restarts of the agent', { timeout: 180_000 }, () => {
  it('is not made again while all that it holds for is as it was', async () => {
    const first = await installed('again')
    expect(first.tuning?.tried[0]).toMatchObject({ options: 'threads=1' })
    expect(first.peakMb).toBeGreaterThanOrEqual(first.residentMb)
    const life = start('again')
    expect(await serve(life)).toEqual({ served: true })
    expect(unwrap(await qualify(life))).toEqual(first)
    expect(life.provedAgain()).toEqual([])
  })

  it('is made again before anything serves when its record is changed, and says so', async () => {
    await installed('changed')
    const path = recordPath('changed')
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replace('\\"threads\\":1', '\\"threads\\":3'))
    const life = start('changed')
    expect(await serve(life)).toEqual({ served: true })
    expect(life.provedAgain()).toMatchObject([
      { problem: { code: 'record.signature' }, qualification: { sha256, threads: 1 } },
    ])
    expect((await ask(life))[1]).toBeCloseTo(softmax(1)[1], 5)
  })

  it('is made again where the profile allows other providers', async () => {
    await installed('profile')
    const life = start('profile', {
      profile: { ...PROFILE, executionProviders: ['coreml', 'cpu'] },
    })
    expect(await serve(life)).toEqual({ served: true })
    expect(life.provedAgain()).toMatchObject([
      { problem: { code: 'record.outdated', expected: 'coreml,cpu', found: 'cpu' } },
    ])
  })

  it('that cannot be made leaves the release out, with the reason', async () => {
    const wrong = writeRelease(folder, { version: '1.9.0', wrongGolden: true })
    const life = start('wrong')
    expect(await serve(life, wrong)).toMatchObject({
      served: false,
      broken: [{ sha256: wrong.release.sha256, problem: { code: 'qualify.golden_mismatch' } }],
    })
  })
})

describe('The optimised model file', { timeout: 180_000 }, () => {
  it('is kept where it pays, and the host loads it in place of the artifact', async () => {
    const { optimised } = await installed('pays')
    expect(optimised).toMatchObject({ kept: true })
    expect(optimised?.loadMs).toBeLessThan(optimised?.sourceLoadMs ?? 0)
    // What the host does not read cannot be missed: the artifact is gone.
    const life = start('pays', {
      artifactPath: (digest: string) => join(folder, digest === sha256 ? 'gone' : digest),
    })
    expect(await serve(life, release, join(folder, 'gone'))).toEqual({ served: true })
    expect((await ask(life))[1]).toBeCloseTo(softmax(1)[1], 5)
  })

  it.each([
    ['swapped for another model', () => readFileSync(join(folder, biased.release.sha256))],
    ['cut', (bytes: Uint8Array) => bytes.subarray(0, bytes.length >> 1)],
  ])(
    'is refused when it was %s: the artifact serves, and the file is made again',
    async (how, spoil) => {
      const home = `spoilt-${how.length}`
      const { optimised } = await installed(home)
      const path = optimisedPath(home)
      const before = readFileSync(path)
      writeFileSync(path, spoil(before))
      const life = start(home)
      expect(await serve(life)).toEqual({ served: true })
      expect((await ask(life))[1]).toBeCloseTo(softmax(1)[1], 5)
      const [again] = await provedAgain(life)
      expect(again?.problem.code).toBe('artifact.digest')
      expect(again?.qualification.optimised?.kept).toBe(true)
      expect(readFileSync(path).length).toBe(optimised?.length)
    },
  )

  it('is followed by the host when it is made again and has another digest', async () => {
    // ONNX Runtime does not write the same bytes each time: this is the record of another time.
    await installed('pays')
    const path = recordPath('pays')
    const signed = JSON.parse(readFileSync(path, 'utf8')).signed as { record: string }
    const before = JSON.parse(signed.record) as QualificationRecord
    const optimised = { ...before.optimised!, sha256: 'a'.repeat(64) }
    writeFileSync(path, unwrap(await sealRecord({ ...before, optimised }, device)))
    const told: ResidenceChange[] = []
    const life = start('pays', {
      idleUnloadMs: 100,
      onResidence: (change: ResidenceChange) => void told.push(change),
    })
    const modelPath = join(folder, 'copy')
    copyFileSync(join(folder, sha256), modelPath)
    expect(await serve(life, release, modelPath)).toEqual({ served: true })
    expect(await provedAgain(life)).toMatchObject([{ problem: { code: 'artifact.digest' } }])
    // What the host does not read cannot be missed.
    rmSync(modelPath)
    for (let round = 1; round <= 2; round++) {
      await waitFor(() => told.filter(({ change }) => change === 'released').length >= round)
      expect((await ask(life))[1]).toBeCloseTo(softmax(1)[1], 5)
    }
    expect(told.filter(({ change }) => change === 'not reloaded')).toEqual([])
    expect(life.provedAgain()).toHaveLength(1)
  })

  it.runIf(process.platform === 'linux')('lies there encrypted where artifacts do', async () => {
    const artifactKey = randomBytes(32)
    const sealed = join(folder, 'sealed')
    mkdirSync(sealed)
    for (const digest of [sha256, release.variant.golden.sha256]) {
      const bytes = readFileSync(join(folder, digest))
      await artifactCipher(artifactKey).seal(join(sealed, digest), bytes, artifactContext(digest))
    }
    const more = { artifactKey, artifactPath: (digest: string) => join(sealed, digest) }
    const first = start('sealed-home', more)
    const { optimised } = unwrap(await qualify(first))
    expect(optimised?.kept).toBe(true)
    const stored = readFileSync(optimisedPath('sealed-home'))
    expect(stored.includes('MatMul')).toBe(false)
    expect(stored.length).toBeGreaterThan(optimised?.length ?? 0)
    expect(await serve(first, release, join(sealed, 'gone'))).toEqual({ served: true })
    expect((await ask(first))[1]).toBeCloseTo(softmax(1)[1], 5)
    expect(first.provedAgain()).toEqual([])
  })

  it('is not kept without a key to vouch for it', async () => {
    const life = start('keyless', { signer: undefined })
    expect(unwrap(await qualify(life)).optimised).toBeUndefined()
    expect(readdirSync(join(folder, 'keyless', 'qualified'))).toEqual([])
  })
})

/** A model that would load as well, and answers otherwise. */
const biased = writeRelease(folder, { version: '1.1.0', bias: 3 })
