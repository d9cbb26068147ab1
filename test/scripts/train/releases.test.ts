/** The committed files of the demo's releases are what training makes, and mean what they say. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { trainModel } from '../../../scripts/train/build-release.ts'
import { createDataset } from '../../../scripts/train/dataset.ts'
import { evaluate, openModel } from '../../../scripts/train/evaluate.ts'
import type { GoldenFile } from '../../../scripts/train/golden.ts'
import { RELEASES } from '../../../scripts/train/releases.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import { sha256Hex } from '../../../shared/kernel/sha256.ts'
import { featureSchema, manifestSchema } from '../../../shared/model/manifest.ts'
import { readModelSignature } from '../../../shared/onnx/model-signature.ts'

const folder = fileURLToPath(
  new URL('../../../controller/demo/models/motor-vibration/', import.meta.url),
)
const read = (path: string): Buffer => readFileSync(folder + path)
const json = <T>(path: string): T => JSON.parse(read(path).toString()) as T
const versions = RELEASES.map((release) => release.version)
const variants = versions.flatMap((version) => [
  [version, 'fp32'] as const,
  [version, 'int8'] as const,
])

describe('the files', () => {
  it('are those of the digest list, all of them, below 2 MB', () => {
    const digests = json<Record<string, { sha256: string; bytes: number }>>('digests.json')
    const found = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => path !== 'digests.json' && statSync(folder + path).isFile())
      .sort()
    expect(found).toEqual(Object.keys(digests).sort())
    for (const [path, { sha256, bytes }] of Object.entries(digests)) {
      expect([path, sha256Hex(read(path)), read(path).length]).toEqual([path, sha256, bytes])
    }
    const total = Object.values(digests).reduce((sum, { bytes }) => sum + bytes, 0)
    expect(total).toBeLessThan(2_000_000)
  })

  it('of 1.0.0 are what training gives here too, to the byte', () => {
    const { fp32, int8 } = trainModel(RELEASES[0]!)
    expect(sha256Hex(fp32)).toBe(sha256Hex(read('1.0.0/fp32.onnx')))
    expect(sha256Hex(int8)).toBe(sha256Hex(read('1.0.0/int8.onnx')))
  })

  it.each(versions)('of %s speak the language of the manifest', (version) => {
    const { features, ...spec } = json<Record<string, unknown>>(`${version}/release.json`)
    const parts = manifestSchema.pick({
      model: true,
      version: true,
      classes: true,
      serviceLevels: true,
      lineage: true,
      evaluation: true,
      description: true,
      finiteInputs: true,
    })
    expect(parts.strip().safeParse(spec).error).toBeUndefined()
    const names = z
      .array(featureSchema)
      .parse(features)
      .map((feature) => feature.name)
    const rows = read(`${version}/reference.csv`).toString().trim().split('\n')
    expect(rows[0]).toBe(names.join(','))
    expect(rows.length - 1).toBe(400)
  })

  it('all share one signature', () => {
    const signatures = variants.map(([version, variant]) => {
      const { inputs, outputs } = unwrap(readModelSignature(read(`${version}/${variant}.onnx`)))
      return JSON.stringify({ inputs, outputs })
    })
    expect(new Set(signatures).size).toBe(1)
  })
})

describe('the models, in ONNX Runtime', () => {
  it.each(variants)('%s %s gives its golden outputs', async (version, variant) => {
    const golden = json<GoldenFile>(`${version}/golden.json`)
    const { outputs, tolerance } =
      variant === 'int8'
        ? golden.variants.int8
        : { outputs: golden.vectors.map((vector) => vector.outputs), tolerance: golden.tolerance }
    const model = await openModel(read(`${version}/${variant}.onnx`))
    expect(golden.vectors).toHaveLength(8)
    for (const [v, { inputs }] of golden.vectors.entries()) {
      const found = await model.classify(Float32Array.from(inputs.vibration!.data))
      outputs[v]!.probabilities!.data.forEach((expected, i) => {
        const limit = tolerance.absolute + tolerance.relative * Math.abs(expected)
        expect(Math.abs(found[i]! - expected)).toBeLessThanOrEqual(limit)
      })
    }
    await model.close()
  })

  it('are modest, better, and wrong on bearing faults', async () => {
    const windows = createDataset({ seed: 'unseen', motors: 30, windowsPerMotor: 20 })
    const judged = await Promise.all(
      versions.map(async (version) => {
        const model = await openModel(read(`${version}/fp32.onnx`))
        const { byTruth } = await evaluate(model, windows)
        await model.close()
        return byTruth
      }),
    )
    const [modest, better, bad] = judged
    expect(modest!.overall).toBeGreaterThan(0.88)
    expect(modest!.overall).toBeLessThan(0.96)
    expect(better!.overall).toBeGreaterThan(0.965)
    expect(bad!.byClass[3]).toBeLessThan(0.1)
    expect(bad!.byClass.slice(0, 3).every((share) => share > 0.9)).toBe(true)
  })

  it('1.0.0 and 1.1.0 lose at most one point in 100 as int8', async () => {
    const windows = createDataset({ seed: 'unseen', motors: 30, windowsPerMotor: 20 })
    for (const version of ['1.0.0', '1.1.0']) {
      const [fp32, int8] = await Promise.all(
        ['fp32', 'int8'].map(async (variant) => {
          const model = await openModel(read(`${version}/${variant}.onnx`))
          const { byTruth } = await evaluate(model, windows)
          await model.close()
          return byTruth.overall
        }),
      )
      expect(fp32! - int8!).toBeLessThan(0.01)
    }
  })
})
