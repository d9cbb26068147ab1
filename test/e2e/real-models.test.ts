/**
 * Models that nobody here wrote, from ../shared/models: served, rolled out under traffic, refused
 * where they do not fit. Skipped where that folder is absent.
 */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPrng } from '../../shared/kernel/prng.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import type { Ended } from './programs.ts'
import { buildStage, type DeviceAt, type Specification, type Stage, until } from './stage.ts'
import { type Ask, startTraffic } from './traffic.ts'

const MODELS = new URL('../../../shared/models/', import.meta.url).pathname
const isThere = existsSync(MODELS)
const reason = isThere ? '' : ' (skipped: there is no ../shared/models)'
const FACES = join(MODELS, 'ultraface')
const VOICE = join(MODELS, 'silero-vad')
const SHAPE = [1, 3, 240, 320]
const WAVE = [{ percent: 100, trafficPercent: 100 }]
const POLICY: Specification['policy'] = {
  ...{ minRequests: 20, minRequestsPerProfile: 10, labels: 'if_any' },
  ...{ errorRateMax: 0.2, latencyBadShareMax: null, qualityDropMax: null },
}

let stage: Stage
let first: DeviceAt

/** Every stage of these tests needs the folder, so nothing is started without it. */
beforeAll(async () => {
  if (!isThere) return
  stage = await buildStage({ gateway: 'x86-64-server', camera: 'intel-n100' })
  first = stage.devices[0]!
  await stage.startController('--window-seconds', '1')
  await stage.tell('key', 'new')
  const slim = ['--model', join(FACES, 'version-slim-320.onnx'), '--name', 'ultraface']
  await Promise.all([
    stage.startAgent('gateway'),
    stage.startAgent('camera'),
    stage.publish('ultraface@1.0.0', ...slim, '--version', '1.0.0'),
  ])
  await bring('ultraface')
}, 240_000)

afterAll(() => stage?.remove(), 60_000)

/** A model's first release, to everybody: nobody asks for it yet, so a person promotes it. */
async function bring(model: string): Promise<void> {
  const first = { model, candidate: '1.0.0', baseline: null, waves: WAVE, policy: POLICY }
  const id = await stage.startRollout(first)
  await until(
    `${model} served by all devices`,
    async () => {
      const devices = await Promise.all(stage.devices.map(({ device }) => stage.device(device)))
      return devices.every(({ report }) => report?.slots.some((slot) => slot.model === model))
    },
    90_000,
    () => stage.rollout(id),
  )
  const body = { command: 'promote', full: true, note: 'The first of its kind.' } as const
  unwrap(await stage.client.call('rolloutCommand', { params: { id }, body }))
}

/** Smooth like a picture, seeded; what a face detector gets after normalising. */
function picture(seed: string): Float32Array {
  const random = createPrng(seed)
  const waves = Array.from({ length: 3 }, () => [random.unit() / 20, random.unit() / 20] as const)
  return Float32Array.from({ length: 3 * 240 * 320 }, (_, i) => {
    const [fx, fy] = waves[Math.floor(i / 76_800)]!
    return Math.sin(fx * (i % 320) + fy * (Math.floor(i / 320) % 240))
  })
}

function asJson(data: Float32Array): Ask {
  const inputs = [{ name: 'input', datatype: 'FP32', shape: SHAPE, data: [...data] }]
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ inputs }) }
}

/** Binary tensor data extension of the Open Inference Protocol, both ways. */
function asBinary(data: Float32Array): Ask {
  const parameters = { binary_data_size: data.byteLength }
  const header = Buffer.from(
    JSON.stringify({
      inputs: [{ name: 'input', datatype: 'FP32', shape: SHAPE, parameters }],
      parameters: { binary_data_output: true },
    }),
  )
  return {
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': `${header.length}`,
    },
    body: Buffer.concat([header, Buffer.from(data.buffer)]),
  }
}

async function infer({ headers, body }: Ask): Promise<Map<string, number[]>> {
  const answer = await fetch(`${first.api}/v2/models/ultraface/infer`, {
    ...{ method: 'POST', headers },
    body: body as NonNullable<RequestInit['body']>,
  })
  const bytes = Buffer.from(await answer.arrayBuffer())
  expect(answer.status, bytes.toString('utf8', 0, 300)).toBe(200)
  const length = Number(answer.headers.get('inference-header-content-length') ?? bytes.length)
  const { outputs } = JSON.parse(bytes.toString('utf8', 0, length))
  let at = length
  return new Map(
    outputs.map((output: { name: string; data?: number[]; shape: number[] }) => {
      const count = output.shape.reduce((product, size) => product * size, 1)
      const read = () => {
        const start = at
        at += 4 * count
        return Array.from({ length: count }, (_, i) => bytes.readFloatLE(start + 4 * i))
      }
      return [output.name, output.data ?? read()]
    }),
  )
}

const refusal = ({ code, stderr }: Ended) => {
  const line = stderr.trimEnd().split('\n').at(-1) ?? ''
  return { code, error: JSON.parse(line).error }
}

describe.runIf(isThere)(`real models from ../shared/models${reason}`, () => {
  test('a picture is classified by version-slim-320: JSON and binary agree', async () => {
    const json = await infer(asJson(picture('one')))
    const binary = await infer(asBinary(picture('one')))
    expect([...json.keys()]).toEqual(['scores', 'boxes'])
    expect(json.get('scores')).toHaveLength(4_420 * 2)
    expect(json.get('boxes')).toHaveLength(4_420 * 4)
    for (const [name, values] of json) {
      const other = binary.get(name)!
      const difference = Math.max(...values.map((value, i) => Math.abs(value - other[i]!)))
      expect(difference).toBeLessThan(1e-6)
    }
    const [background, face] = json.get('scores')!
    expect(background! + face!).toBeCloseTo(1, 5)
  })

  test('a rollout to version-RFB-320 completes under traffic, no request is lost', async () => {
    const rfb = ['--model', join(FACES, 'version-RFB-320.onnx'), '--name', 'ultraface']
    await stage.publish('ultraface@1.1.0', ...rfb, '--version', '1.1.0')
    const asks = [asBinary(picture('one')), asJson(picture('two')), asBinary(picture('three'))]
    let turn = 0
    const traffic = startTraffic({
      ...{ seed: 'faces', model: 'ultraface', devices: stage.devices, requestsPerSecond: 5 },
      nextAsk: () => asks[turn++ % asks.length]!,
    })
    const id = await stage.startRollout({
      ...{ model: 'ultraface', candidate: '1.1.0', baseline: '1.0.0', policy: POLICY },
      waves: [
        { percent: 50, trafficPercent: 50 },
        { percent: 100, trafficPercent: 50 },
      ],
    })
    await until(
      'promoted',
      async () => (await stage.rollout(id)).state === 'promoted',
      120_000,
      () => stage.rollout(id),
    ).finally(() => traffic.stop())
    const { sent, answered, failed } = traffic.total()
    expect({ answered, failed }).toEqual({ answered: sent, failed: 0 })
    for (const counts of traffic.counts.values()) {
      expect([...counts.byVersion.keys()].toSorted()).toEqual(['1.0.0', '1.1.0'])
    }
  }, 200_000)

  test('silero_vad_half is refused as a candidate for silero_vad, with the reason', async () => {
    const shapes = { state: { shape: [2, 1, 128] }, input: { shape: [1, 512] } }
    const publish = (file: string, version: string, spec: object) =>
      stage.publish(
        `silero@${version}`,
        ...['--model', join(VOICE, file), '--name', 'silero'],
        ...['--version', version, '--input-spec', JSON.stringify(spec)],
      )
    await publish('silero_vad.onnx', '1.0.0', { ...shapes, sr: { value: 16_000 } })
    await publish('silero_vad_half.onnx', '2.0.0', shapes)
    await bring('silero')
    const file = join(stage.home, 'half.json')
    const waves = [{ percent: 100, trafficPercent: 50 }]
    await writeFile(
      file,
      JSON.stringify({ model: 'silero', candidate: '2.0.0', baseline: '1.0.0', waves }),
    )
    const ended = await stage.linnet('rollout', 'create', '--file', file, '--yes', '--json')
    expect(refusal(ended)).toMatchObject({
      code: 2,
      error: { code: 'rollout.signature_changed', found: 'no input sr' },
    })
  }, 120_000)

  test('light_resnet50 is served', async () => {
    const file = join(MODELS, 'light', 'light_resnet50.onnx')
    await stage.publish(
      'resnet50@1.0.0',
      ...['--model', file, '--name', 'resnet50', '--version', '1.0.0'],
    )
    await bring('resnet50')
    const metadata = await fetch(`${first.api}/v2/models/resnet50`)
    expect(metadata.status).toBe(200)
    const answer = await fetch(`${first.api}/v2/models/resnet50/ready`)
    expect(answer.status).toBe(200)
  }, 120_000)

  test('what is no model, has been there or lacks its reference is refused by release create', async () => {
    const create = (model: string, version: string, ...flags: string[]) =>
      stage.linnet(
        ...['release', 'create', '--name', 'ultraface', '--version', version, '--json'],
        ...['--model', model, ...flags],
      )
    const slim = join(FACES, 'version-slim-320.onnx')
    const [picture, twice, noReference] = await Promise.all([
      create(join(FACES, '2.jpg'), '3.0.0'),
      create(slim, '1.0.0'),
      create(slim, '3.1.0', '--reference', join(stage.home, 'nowhere.csv')),
    ])
    expect(refusal(picture)).toMatchObject({ code: 2, error: { code: 'onnx.not_a_model' } })
    expect(refusal(twice)).toMatchObject({ code: 2, error: { code: 'release.duplicate_version' } })
    expect(refusal(noReference)).toMatchObject({ code: 2, error: { code: 'reference.missing' } })
  })
})
