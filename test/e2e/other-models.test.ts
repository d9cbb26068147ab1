/**
 * Models of other kinds than a classifier of numbers: one reads and writes text, one detects boxes and
 * gives as many as it finds. Created, signed, published, rolled out, swapped under requests, and killed
 * in the middle, by the commands that the README names.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import { encodeModel, type Graph } from '../../shared/onnx/graph-writer.ts'
import { buildStage, type DeviceAt, type Specification, type Stage, until } from './stage.ts'

const POLICY: Specification['policy'] = {
  ...{ minRequests: 20, minRequestsPerProfile: 10, labels: 'if_any' },
  ...{ errorRateMax: 0.2, latencyBadShareMax: null, qualityDropMax: null },
}
const f32 = (name: string, shape: number[], value: (i: number) => number) => {
  const count = shape.reduce((product, size) => product * size, 1)
  return {
    name,
    datatype: 'FP32' as const,
    shape,
    data: Float32Array.from({ length: count }, (_, i) => value(i)),
  }
}
const ints = (name: string, ...values: number[]) => ({
  ...{ name, datatype: 'INT64' as const, shape: [values.length] },
  data: BigInt64Array.from(values, BigInt),
})
const model = (graph: Omit<Graph, 'name'>, name: string) =>
  encodeModel({
    ...{ irVersion: 8, producer: 'linnet-test', graph: { ...graph, name } },
    opsets: [
      { domain: '', version: 17 },
      { domain: 'ai.onnx.ml', version: 3 },
    ],
  })

/** words [n] text -> scores [n, 3], and the label as text. `shift` makes another release of it. */
const textModel = (shift: number) =>
  model(
    {
      inputs: [{ name: 'words', datatype: 'BYTES', shape: ['n'] }],
      outputs: [
        { name: 'scores', datatype: 'FP32', shape: ['n', 3] },
        { name: 'label', datatype: 'BYTES', shape: ['n'] },
      ],
      initializers: [f32('table', [4, 3], (i) => ((i * 7 + shift) % 5) - 2)],
      nodes: [
        {
          ...{ op: 'LabelEncoder', domain: 'ai.onnx.ml', inputs: ['words'], outputs: ['ids'] },
          attributes: {
            keys_strings: { strings: ['good', 'größer', 'bad'] },
            values_int64s: { ints: [1, 2, 3] },
            default_int64: { int: 0 },
          },
        },
        { op: 'Gather', inputs: ['table', 'ids'], outputs: ['logits'] },
        { op: 'Softmax', inputs: ['logits'], outputs: ['scores'] },
        {
          ...{ op: 'ArgMax', inputs: ['scores'], outputs: ['best'] },
          attributes: { axis: { int: 1 }, keepdims: { int: 0 } },
        },
        {
          ...{ op: 'LabelEncoder', domain: 'ai.onnx.ml', inputs: ['best'], outputs: ['label'] },
          attributes: {
            keys_int64s: { ints: [0, 1, 2] },
            values_strings: { strings: ['neutral', 'happy', 'wütend'] },
          },
        },
      ],
    },
    'words',
  )

/** image [1, 3, 8, 8] -> boxes [1, 16, 4], scores [1, 1, 16], and which of them stand. */
const detector = (shift: number) =>
  model(
    {
      inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 3, 8, 8] }],
      outputs: [
        { name: 'boxes', datatype: 'FP32', shape: [1, 16, 4] },
        { name: 'scores', datatype: 'FP32', shape: [1, 1, 16] },
        { name: 'selected', datatype: 'INT64', shape: ['found', 3] },
      ],
      initializers: [
        f32('kernel', [4, 3, 2, 2], (i) => ((i * 5 + shift) % 7) / 7 - 0.4),
        ints('flat', 1, 4, 16),
        ints('most', 5),
      ],
      nodes: [
        {
          ...{ op: 'Conv', inputs: ['image', 'kernel'], outputs: ['map'] },
          attributes: { strides: { ints: [2, 2] } },
        },
        { op: 'Reshape', inputs: ['map', 'flat'], outputs: ['rows'] },
        {
          ...{ op: 'Transpose', inputs: ['rows'], outputs: ['boxes'] },
          attributes: { perm: { ints: [0, 2, 1] } },
        },
        {
          ...{ op: 'ReduceMean', inputs: ['rows'], outputs: ['scores'] },
          attributes: { axes: { ints: [1] } },
        },
        {
          op: 'NonMaxSuppression',
          ...{ inputs: ['boxes', 'scores', 'most'], outputs: ['selected'] },
        },
      ],
    },
    'detector',
  )

const ASKS = {
  words: { name: 'words', datatype: 'BYTES', shape: [3], data: ['good', 'größer', 'unknown'] },
  detector: {
    ...{ name: 'image', datatype: 'FP32', shape: [1, 3, 8, 8] },
    data: Array.from({ length: 192 }, (_, i) => Math.sin(i / 9)),
  },
} as const
type Model = keyof typeof ASKS
const MODELS = Object.keys(ASKS) as Model[]
const BYTES = { words: textModel, detector }

let stage: Stage
let device: DeviceAt

beforeAll(async () => {
  stage = await buildStage({ gateway: 'x86-64-server' })
  device = stage.devices[0]!
  await stage.startController('--window-seconds', '1')
  await stage.tell('key', 'new')
  await stage.startAgent('gateway')
}, 120_000)

afterAll(() => stage?.remove(), 60_000)

async function publish(name: Model, version: string, shift: number): Promise<void> {
  const file = join(stage.home, `${name}-${version}.onnx`)
  await writeFile(file, BYTES[name](shift))
  await stage.publish(`${name}@${version}`, '--model', file, '--name', name, '--version', version)
}

interface Answer {
  readonly model_version: string
  readonly outputs: readonly { name: string; shape: number[]; data: (number | string)[] }[]
}

async function ask(name: Model): Promise<Answer> {
  const answer = await fetch(`${device.api}/v2/models/${name}/infer`, {
    ...{ method: 'POST', body: JSON.stringify({ inputs: [ASKS[name]] }) },
  })
  const body = await answer.text()
  expect(answer.status, body).toBe(200)
  return JSON.parse(body) as Answer
}

describe('text and boxes', () => {
  test('both are created, signed, published and served', async () => {
    for (const name of MODELS) {
      await publish(name, '1.0.0', 0)
      const waves = [{ percent: 100, trafficPercent: 100 }]
      const first = { model: name, candidate: '1.0.0', baseline: null, waves, policy: POLICY }
      const id = await stage.startRollout(first)
      await until(
        `${name} served`,
        async () => (await ask(name)).model_version === '1.0.0',
        90_000,
        () => stage.rollout(id),
      )
      const body = { command: 'promote', full: true, note: 'The first of its kind.' } as const
      unwrap(await stage.client.call('rolloutCommand', { params: { id }, body }))
    }
    const { outputs } = await ask('words')
    const label = outputs.find(({ name }) => name === 'label')
    expect(label?.data).toHaveLength(3)
    for (const text of label?.data ?? []) expect(['neutral', 'happy', 'wütend']).toContain(text)
    const boxes = await ask('detector')
    const selected = boxes.outputs.find(({ name }) => name === 'selected')
    expect(boxes.outputs.map(({ name }) => name)).toEqual(['boxes', 'scores', 'selected'])
    expect(selected?.data).toHaveLength(3 * (selected?.shape[0] ?? 0))
  }, 240_000)

  test.each(MODELS)(
    '%s is swapped under requests, and the host killed in the middle',
    async (name) => {
      await publish(name, '1.1.0', 1)
      const id = await stage.startRollout({
        ...{ model: name, candidate: '1.1.0', baseline: '1.0.0', policy: POLICY },
        waves: [{ percent: 100, trafficPercent: 50 }],
      })
      const versions = new Set<string>()
      let failed = 0
      let isOver = false
      let isKilled = false
      const asking = (async () => {
        while (!isOver) {
          await ask(name).then(
            ({ model_version }) => versions.add(model_version),
            () => (failed += 1),
          )
          await new Promise((resolve) => setTimeout(resolve, failed > 0 && !isKilled ? 200 : 50))
        }
      })()
      try {
        await until(
          'both answer',
          async () => versions.size === 2,
          90_000,
          () => stage.rollout(id),
        )
        expect(failed).toBe(0)
        process.kill(await stage.childOf('gateway', 'host-main'), 'SIGKILL')
        isKilled = true
        const promoted = async () => (await stage.rollout(id)).state === 'promoted'
        await until('promoted', promoted, 120_000, () => stage.rollout(id))
      } finally {
        isOver = true
        await asking
      }
      const report = await until('the device tells of it', async () => {
        const { notices } = await stage.device('gateway')
        return notices.find(({ kind }) => kind === 'host_restarted')
      })
      expect(report.problem.code).toBe('host.killed')
      expect((await ask(name)).model_version).toBe('1.1.0')
    },
    240_000,
  )
})
