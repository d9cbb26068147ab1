/** ONNX models inside an application: in a model host of their own, and in this very process. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createRuntime,
  type InProcessInputs,
  type InProcessRuntime,
} from '../../../agent/runtime/in-process.ts'
import { encodeModel } from '../../../shared/onnx/graph-writer.ts'
import { type OperatorCase, one, tensor } from '../../fixtures/operators/case.ts'
import { softmax, tinyClassifier } from './release-builder.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-in-process-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

const x = (...values: number[]): InProcessInputs => ({
  x: { datatype: 'FP32', shape: [1, values.length], data: Float32Array.from(values) },
})
const fed = ({ feeds }: OperatorCase): InProcessInputs =>
  Object.fromEntries(feeds.map((feed) => [feed.name, feed]))

describe.each([
  ['in a model host', false],
  ['inline', true],
] as const)('A runtime %s', { timeout: 120_000 }, (_, inline) => {
  let runtime: InProcessRuntime
  beforeAll(async () => {
    const path = write('tiny.onnx', encodeModel(tinyClassifier()))
    runtime = await createRuntime({ models: [{ model: 'tiny', path }], inline })
  }, 120_000)
  afterAll(() => runtime.close())

  it('answers with tensors and with who computed them', async () => {
    const { outputs, ...by } = await runtime.infer('tiny', x(1, 0))
    expect(by).toMatchObject({ model: 'tiny', version: '1.0.0', arm: 'baseline', provider: 'cpu' })
    const [scores] = outputs
    expect(scores).toMatchObject({ name: 'scores', datatype: 'FP32', shape: [1, 2] })
    expect(Number(scores?.data[1])).toBeCloseTo(softmax(1)[1], 5)
  })

  it('refuses what does not fit, with a code', async () => {
    await expect(runtime.infer('tiny', x(1, 2, 3))).rejects.toMatchObject({
      problem: { code: 'infer.invalid_input' },
    })
    await expect(runtime.infer('other', x(1, 2))).rejects.toMatchObject({
      problem: { code: 'infer.unknown_model' },
    })
    await expect(runtime.infer('tiny', x(1, 2), { outputs: ['nothing'] })).rejects.toMatchObject({
      problem: { code: 'infer.unknown_output' },
    })
  })

  it('does not run what was aborted while it waited', async () => {
    await expect(
      runtime.infer('tiny', x(1, 2), { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ problem: { code: 'infer.cancelled' } })
  })

  it('counts what it answered, and tells what it serves', async () => {
    const before = runtime.statistics()[0]?.answered ?? 0
    await runtime.infer('tiny', x(0, 0))
    expect(runtime.statistics()[0]?.answered).toBe(before + 1)
    expect(runtime.models()).toMatchObject([{ model: 'tiny', version: '1.0.0', slot: 'current' }])
  })

  it('keeps a stream on one release', async () => {
    const stream = runtime.stream('tiny')
    const first = await stream.infer(x(1, 0))
    const last = await stream.infer(x(2, 0), { isLast: true })
    expect([first.version, last.version]).toEqual(['1.0.0', '1.0.0'])
  })

  it('says why a file cannot be used', async () => {
    const path = write('broken.onnx', '<html>')
    await expect(createRuntime({ models: [{ model: 'b', path }], inline })).rejects.toMatchObject({
      problem: { code: expect.stringMatching(/^onnx\./) },
    })
  })
})

describe('A model that ends its process', { timeout: 120_000 }, () => {
  // The quotient of these two has no place in 32 bits; processors and ONNX Runtime give up on it.
  const LEAST = -(2 ** 31)
  const feeds = (divisor: number) => [
    tensor('a', 'INT32', [2], [LEAST, 9]),
    tensor('b', 'INT32', [2], [divisor, 3]),
  ]
  const divide = one('divide', 'Div', feeds(1), ['INT32'])

  it('on the inputs that a request brings ends the model host, and the application goes on', async () => {
    const notices: string[] = []
    const path = write('divide.onnx', divide.model)
    const runtime = await createRuntime({
      models: [{ model: 'divide', path }],
      onNotice: (text) => notices.push(text),
    })
    try {
      const fine = fed(divide)
      expect((await runtime.infer('divide', fine)).outputs[0]?.data).toEqual(
        Int32Array.of(LEAST, 3),
      )
      const deadly = fed({ ...divide, feeds: feeds(-1) })
      await expect(runtime.infer('divide', deadly)).rejects.toMatchObject({
        problem: { code: 'infer.host_died' },
      })
      expect(runtime.statistics()[0]?.errors.crashed).toBe(1)
      await expect
        .poll(() => runtime.infer('divide', fine).then(({ outputs }) => outputs[0]?.data), {
          timeout: 30_000,
        })
        .toEqual(Int32Array.of(LEAST, 3))
      expect(notices.join()).toContain('model host')
    } finally {
      await runtime.close()
    }
  })

  it('on outputs that no binding carries is refused before it runs', async () => {
    const cast = one('cast', 'Cast', [tensor('x', 'FP32', [2], [1, 2])], ['INT4'], {
      ...{ opset: 21, attributes: { to: { int: 22 } } },
    })
    const path = write('int4.onnx', cast.model)
    await expect(createRuntime({ models: [{ model: 'int4', path }] })).rejects.toMatchObject({
      problem: { code: 'admission.unsupported_type', found: 'y0: INT4' },
    })
  })
})
