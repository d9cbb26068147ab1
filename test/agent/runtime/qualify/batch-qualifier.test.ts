/** Batching through real processes and ONNX Runtime; silero-vad where ../shared/models has it. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createRuntime, type InProcessInputs } from '../../../../agent/runtime/in-process.ts'
import { qualifyInProcess } from '../../../../agent/runtime/qualify/qualify-in-process.ts'
import { unwrap } from '../../../../shared/kernel/result.ts'
import { PROFILE, tinyClassifier, writeRelease } from '../release-builder.ts'

const ROOT = resolve(import.meta.dirname, '../../../..')
const SILERO = join(ROOT, '../shared/models/silero-vad/silero_vad.onnx')
const HAS_SILERO = existsSync(SILERO)
const folder = mkdtempSync(join(tmpdir(), 'linnet-batch-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const options = (batching: 'auto' | 'off' = 'auto') => ({
  ...{ profile: PROFILE, timeMsMax: 60_000, signal: new AbortController().signal, batching },
  artifactPath: (sha256: string) => join(folder, sha256),
})

describe('The qualifier', () => {
  it('proves that rows of a classifier do not see each other', async () => {
    const { qualification, settings } = unwrap(
      await qualifyInProcess(writeRelease(folder), options()),
    )
    const { tried } = qualification.batching!
    expect(tried[0]).toMatchObject({ rows: 2 })
    expect(tried.every(({ differenceMax }) => differenceMax! < 1e-5)).toBe(true)
    // Whether so small a model gains is the machine's matter; what is chosen is what will be used.
    const chosen = qualification.batching!.chosen
    expect(settings.batching?.rowsMax ?? 1).toBe(chosen)
  }, 60_000)

  it('finds a model that mixes its rows, and serves it one request at a time', async () => {
    const model = tinyClassifier()
    const nodes = [
      ...model.graph.nodes.slice(0, 2),
      { op: 'ReduceMax', inputs: ['logits'], outputs: ['most'] },
      { op: 'Sub', inputs: ['logits', 'most'], outputs: ['less'] },
      { op: 'Add', inputs: ['less', 'most'], outputs: ['same'] },
      { op: 'Div', inputs: ['same', 'most'], outputs: ['scaled'] },
      { op: 'Mul', inputs: ['scaled', 'most'], outputs: ['back'] },
      { op: 'Softmax', inputs: ['less'], outputs: ['scores'] },
    ]
    const honest = writeRelease(folder, { version: '1.0.1', description: model })
    const mixed = writeRelease(folder, {
      version: '1.0.2',
      description: { ...model, graph: { ...model.graph, nodes } },
    })
    expect(mixed.release.sha256).not.toBe(honest.release.sha256)
    const { qualification, settings } = unwrap(await qualifyInProcess(mixed, options()))
    expect(qualification.attempts.at(-1)?.outcome).toBe('chosen')
    // Softmax forgives a shift of the whole batch, so golden vectors alone would let it pass.
    expect(qualification.batching?.reason).toMatch(
      /^beside a request of (NaN|large values): scores/,
    )
    expect(settings.batching).toBeNull()
  }, 60_000)

  it('does not look where batching is off', async () => {
    const { qualification, settings } = unwrap(
      await qualifyInProcess(writeRelease(folder, { version: '1.0.3' }), options('off')),
    )
    expect(qualification.batching).toBeUndefined()
    expect(settings.batching).toBeNull()
  }, 60_000)
})

const TITLE = `silero-vad of ../shared/models${HAS_SILERO ? '' : ' (skipped: absent)'}`
describe.skipIf(!HAS_SILERO)(TITLE, () => {
  /** The fifth speaks at another rate, with frames of another length. */
  const rateOf = (phase: number): number => (phase === 5 ? 8_000 : 16_000)
  const lengthOf = (phase: number): number => (576 * rateOf(phase)) / 16_000
  const frame = (phase: number): InProcessInputs => ({
    input: {
      ...{ datatype: 'FP32', shape: [1, lengthOf(phase)] },
      data: Float32Array.from(
        { length: lengthOf(phase) },
        (_, i) => 0.2 * Math.sin((i + phase) / 7),
      ),
    },
    state: {
      ...{ datatype: 'FP32', shape: [2, 1, 128] },
      data: Float32Array.from({ length: 256 }, (_, i) => Math.sin(i * (phase + 1)) / 3),
    },
    sr: { datatype: 'INT64', shape: [], data: BigInt64Array.of(BigInt(rateOf(phase))) },
  })

  it('batches its state along the second dimension and its rate not at all, with equal answers', async () => {
    const inputSpec = {
      ...{ input: { shape: [1, 576] }, state: { shape: [2, 1, 128] }, sr: { value: 16_000 } },
    }
    const models = [{ model: 'vad', path: SILERO }]
    const together = await createRuntime({ models, inputSpec, inline: true })
    const apart = await createRuntime({ models, inputSpec, inline: true, batching: 'off' })
    const phases = Array.from({ length: 24 }, (_, i) => i)
    const batched = await Promise.all(phases.map((phase) => together.infer('vad', frame(phase))))
    for (const phase of phases) {
      const single = await apart.infer('vad', frame(phase))
      for (const [o, { shape, data }] of single.outputs.entries()) {
        const found = batched[phase]!.outputs[o]!
        expect(found.shape).toEqual(shape)
        const worst = Math.max(
          ...[...(data as Float32Array)].map((x, i) => Math.abs(x - Number(found.data[i]))),
        )
        expect(worst).toBeLessThan(1e-5)
      }
    }
    const [row] = together.statistics()
    expect(row?.answered).toBe(24)
    expect(row?.executions).toBeLessThan(24)
    expect(apart.statistics()[0]?.executions).toBe(24)
    await together.close()
    await apart.close()
  }, 120_000)
})
