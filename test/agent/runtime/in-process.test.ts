/** ONNX models inside an application: real ONNX Runtime in this very process. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRuntime, type InProcessRuntime } from '../../../agent/runtime/in-process.ts'
import { encodeModel } from '../../../shared/onnx/graph-writer.ts'
import { softmax, tinyClassifier } from './release-builder.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-in-process-test-'))
const path = join(folder, 'tiny.onnx')
const x = (...values: number[]) => ({
  x: { datatype: 'FP32', shape: [1, values.length], data: Float32Array.from(values) } as const,
})

describe('A runtime in process', { timeout: 120_000 }, () => {
  let runtime: InProcessRuntime
  beforeAll(async () => {
    writeFileSync(path, encodeModel(tinyClassifier()))
    runtime = await createRuntime({ models: [{ model: 'tiny', path }] })
  }, 120_000)
  afterAll(() => {
    runtime.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('answers with tensors and with who computed them', async () => {
    const { outputs, ...by } = await runtime.infer('tiny', x(1, 0))
    expect(by).toMatchObject({ model: 'tiny', version: '1.0.0', arm: 'baseline', provider: 'cpu' })
    const [scores] = outputs
    expect(scores).toMatchObject({ name: 'scores', datatype: 'FP32', shape: [1, 2] })
    expect(Number(scores?.data[1])).toBeCloseTo(softmax(1)[1], 5)
  })

  it('refuses what does not fit, with a code', async () => {
    await expect(runtime.infer('tiny', x(1, 2, 3))).rejects.toMatchObject({
      problem: { code: 'infer.invalid_input', found: 'FP32 [1,3]' },
    })
    await expect(runtime.infer('other', x(1, 2))).rejects.toMatchObject({
      problem: { code: 'infer.unknown_model' },
    })
  })

  it('does not run what was aborted while it waited', async () => {
    await expect(
      runtime.infer('tiny', x(1, 2), { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ problem: { code: 'infer.cancelled' } })
  })

  it('counts what it answered', async () => {
    const before = runtime.statistics()[0]?.answered ?? 0
    await runtime.infer('tiny', x(0, 0))
    expect(runtime.statistics()[0]?.answered).toBe(before + 1)
  })

  it('says why a file cannot be used', async () => {
    const broken = join(folder, 'broken.onnx')
    writeFileSync(broken, '<html>')
    await expect(createRuntime({ models: [{ model: 'b', path: broken }] })).rejects.toMatchObject({
      problem: { code: expect.stringMatching(/^onnx\./) },
    })
  })
})
