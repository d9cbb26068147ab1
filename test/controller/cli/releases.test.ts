/**
 * From a model file to a published release, with the real command and no controller but the last
 * step.
 */
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unwrap } from '../../../shared/kernel/result.ts'
import { sha256Hex } from '../../../shared/kernel/sha256.ts'
import { decodeGolden } from '../../../shared/model/golden.ts'
import { manifestSchema } from '../../../shared/model/manifest.ts'
import { encodeModel } from '../../../shared/onnx/graph-writer.ts'
import { buildCli, type CliFixture } from '../../fixtures/cli-builder.ts'

const DEMO = new URL('../../../controller/demo/models/motor-vibration/', import.meta.url).pathname
const MODEL = join(DEMO, '1.0.0/fp32.onnx')

let cli: CliFixture
let scratch: string
beforeAll(async () => {
  cli = await buildCli()
  scratch = await mkdtemp(join(tmpdir(), 'linnet-release-'))
})
afterAll(async () => {
  await cli.remove()
  await rm(scratch, { recursive: true, force: true })
})

const create = (...args: string[]) => cli.linnet(['release', 'create', ...args])
const release = (name: string) => join(cli.home, 'releases', ...name.split('@'))

/** One tensor in, the same out. */
function identityModel(): Uint8Array {
  const value = (name: string) => ({ name, datatype: 'FP32' as const, shape: [1, 4] })
  return encodeModel({
    irVersion: 8,
    opsets: [{ domain: '', version: 17 }],
    producer: 'test',
    graph: {
      name: 'identity',
      inputs: [value('x')],
      outputs: [value('y')],
      initializers: [],
      nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
    },
  })
}

describe('release create', () => {
  test('from a specification: manifest, artifacts, golden vectors and reference that fit', async () => {
    const { code, stdout } = await create('--spec', join(DEMO, '1.0.0/release.json'), '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout).release).toBe('motor-vibration@1.0.0')
    const folder = release('motor-vibration@1.0.0')
    const manifest = manifestSchema.parse(
      JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')),
    )
    expect(manifest.inputs).toEqual([
      { name: 'vibration', datatype: 'FP32', shape: ['batch', 3, 128] },
    ])
    expect(manifest.variants.map((v) => [v.name, v.profiles])).toEqual([
      ['fp32', []],
      ['int8', ['raspberry-pi-zero-2w']],
    ])
    expect(manifest.reference.map((r) => r.counts.reduce((a, b) => a + b))).toEqual(
      manifest.reference.map(() => 400),
    )
    for (const { artifact, golden } of manifest.variants) {
      for (const file of [artifact, golden]) {
        expect(sha256Hex(await readFile(join(folder, file.file)))).toBe(file.sha256)
      }
      const vectors = unwrap(decodeGolden(await readFile(join(folder, golden.file))))
      expect(vectors).toHaveLength(8)
      expect(vectors[0]?.outputs[0]?.shape).toEqual([1, 4])
    }
  })
  test('a release never changes: the same version again is refused', async () => {
    const { code, stderr } = await create('--spec', join(DEMO, '1.0.0/release.json'))
    expect(code).toBe(2)
    expect(stderr).toContain('[release.duplicate_version]')
  })
  test('what it says of memory, execution providers and ranges stands in the manifest', async () => {
    await writeFile(join(scratch, 'ranged.onnx'), identityModel())
    const spec = join(scratch, 'ranged.json')
    const needs = { memoryMb: 90, executionProviders: ['webgpu', 'cpu'] }
    const four = { shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }
    const vectors = [{ inputs: { x: four }, outputs: { y: four } }]
    await writeFile(join(scratch, 'ranged-golden.json'), JSON.stringify({ vectors }))
    const file = {
      ...{ model: 'ranged', version: '1.0.0', golden: 'ranged-golden.json' },
      ...{ ranges: [{ input: 'y', outside: 'count' }] },
      variants: [{ name: 'fp32', precision: 'fp32', file: 'ranged.onnx', ...needs }],
    }
    await writeFile(spec, JSON.stringify(file))
    const refused = await create('--spec', spec)
    // An output: what the model makes is not the sender's.
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringContaining('[release.unknown_tensor]'),
    ])
    const ranges = [{ input: 'x', min: 0.5, max: 2, outside: 'refuse' }]
    await writeFile(spec, JSON.stringify({ ...file, ranges }))
    const { code, stdout } = await create('--spec', spec, '--json')
    expect(code).toBe(0)
    expect(manifestSchema.parse(JSON.parse(stdout).manifest)).toMatchObject({
      ranges,
      variants: [needs],
    })
  })
  test('golden vectors are derived by running the model where none are given', async () => {
    const { code } = await create('--model', MODEL, '--name', 'derived', '--version', '1.0.0')
    expect(code).toBe(0)
    const bytes = await readFile(join(release('derived@1.0.0'), 'fp32.golden.bin'))
    expect(unwrap(decodeGolden(bytes))).toHaveLength(8)
  })
  test.each([
    ['a file that is not ONNX', 'onnx.not_a_model', ['--model', 'package.json']],
    ['a file that is not there', 'release.missing_file', ['--model', 'nothing.onnx']],
    ['no reference there', 'reference.missing', ['--model', MODEL, '--reference', 'none.csv']],
    ['no golden vectors there', 'golden.missing', ['--model', MODEL, '--golden', 'none.json']],
    [
      'golden vectors of another model',
      'golden.does_not_fit',
      ['--model', MODEL, '--golden', 'OTHER'],
    ],
    [
      'a variant with other tensors',
      'release.variants_differ',
      ['--model', MODEL, '--variant', 'int8=IDENTITY'],
    ],
    ['a reference of other columns', 'reference.columns', ['--model', MODEL, '--reference', 'CSV']],
  ])('%s is refused as %s and leaves nothing behind', async (_, code, args) => {
    const identity = join(scratch, 'identity.onnx')
    await writeFile(identity, identityModel())
    const other = join(scratch, 'other.json')
    const tensor = { shape: [1, 3, 64], datatype: 'FP32', data: new Array(192).fill(0) }
    await writeFile(other, JSON.stringify({ vectors: [{ inputs: { vibration: tensor } }] }))
    const csv = join(scratch, 'other.csv')
    await writeFile(csv, `a,b\n${'1,2\n'.repeat(50)}`)
    const files: Record<string, string> = { OTHER: other, CSV: csv }
    const given = args.map((arg) => files[arg] ?? arg.replace('IDENTITY', identity))
    const result = await create(...given, '--name', 'refused', '--version', '1.0.0')
    expect([result.code, result.stdout]).toEqual([2, ''])
    expect(result.stderr).toContain(`[${code}]`)
    await expect(stat(release('refused@1.0.0'))).rejects.toThrow()
  })
})

describe('sign and publish', () => {
  const env = { LINNET_PASSPHRASE: 'correct horse battery' }
  test('keys are made encrypted, with the online keys in the root', async () => {
    const { code, stdout } = await cli.linnet(['key', 'new', '--json'], env)
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ fleet: 'plant', rootVersion: 1 })
    for (const name of ['root', 'publisher']) {
      const path = join(cli.home, 'keys', `${name}.json`)
      expect((await stat(path)).mode & 0o777).toBe(0o600)
      expect(await readFile(path, 'utf8')).toContain('scrypt')
    }
    const root = JSON.parse(await readFile(join(cli.home, 'publisher/root.json'), 'utf8'))
    expect(root.signed['x-linnet']).toMatchObject({ directorEpoch: 1, threshold: 1 })
  })
  test('signing works without a controller; counters and versions grow', async () => {
    const offline = { ...env, LINNET_CONTROLLER: 'http://127.0.0.1:9' }
    const first = await cli.linnet(['release', 'sign', 'motor-vibration@1.0.0', '--json'], offline)
    expect(first.code).toBe(0)
    expect(first.stderr).toContain('does not answer')
    expect(JSON.parse(first.stdout)).toMatchObject({ targetsVersion: 1, releaseCounter: 1 })
    await create('--spec', join(DEMO, '1.1.0/release.json'))
    const second = await cli.linnet(['release', 'sign', 'motor-vibration@1.1.0', '--json'], offline)
    expect(JSON.parse(second.stdout)).toMatchObject({ targetsVersion: 2, releaseCounter: 2 })
    const targets = JSON.parse(await readFile(join(cli.home, 'publisher/targets.json'), 'utf8'))
    expect(targets.signed.targets['motor-vibration/1.1.0/int8.onnx'].custom).toEqual({
      model: 'motor-vibration',
      version: '1.1.0',
      profiles: ['raspberry-pi-zero-2w'],
      releaseCounter: 2,
      minCounter: 0,
    })
  })
  test('signing twice, or a file that changed since, is refused', async () => {
    const again = await cli.linnet(['release', 'sign', 'motor-vibration@1.0.0', '--offline'], env)
    expect(again.stderr).toContain('[release.already_signed]')
    await copyFile(join(DEMO, '1.1.0/fp32.onnx'), join(release('derived@1.0.0'), 'fp32.onnx'))
    const changed = await cli.linnet(['release', 'sign', 'derived@1.0.0', '--offline'], env)
    expect([changed.code, changed.stderr]).toEqual([
      2,
      expect.stringContaining('[release.changed]'),
    ])
  })
  test('a wrong passphrase signs nothing', async () => {
    await create('--model', MODEL, '--name', 'another', '--version', '1.0.0')
    const wrong = { LINNET_PASSPHRASE: 'incorrect donkey' }
    const { code, stderr } = await cli.linnet(
      ['release', 'sign', 'another@1.0.0', '--offline'],
      wrong,
    )
    expect([code, stderr]).toEqual([2, expect.stringContaining('[key_file.passphrase]')])
  })
  test('publishing uploads what is missing, once', async () => {
    const publish = () => cli.linnet(['release', 'publish', 'motor-vibration@1.1.0', '--json'])
    const first = await publish()
    expect(first.code).toBe(0)
    // Two releases of five files; manifests differ, and so do all others.
    expect(JSON.parse(first.stdout)).toMatchObject({ uploaded: 10, targetsVersion: 2 })
    expect(JSON.parse((await publish()).stdout)).toMatchObject({ uploaded: 0 })
  })
  test('what is not signed is not published', async () => {
    const { code, stderr } = await cli.linnet(['release', 'publish', 'another@1.0.0'])
    expect([code, stderr]).toEqual([2, expect.stringContaining('[release.not_signed]')])
  })
})
