/** What may be promised of a model that nobody described, and what is told where nothing may. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { derive } from '../../../../agent/runtime/qualify/derive-command.ts'
import { proveRelease } from '../../../../agent/runtime/qualify/prove-release.ts'
import { localProfile, unsignedRelease } from '../../../../agent/runtime/unsigned-release.ts'
import { unwrap } from '../../../../shared/kernel/result.ts'
import { decodeGolden } from '../../../../shared/model/golden.ts'
import { type OperatorCase, one, tensor } from '../../../fixtures/operators/case.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-derive-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const model = join(folder, 'model.onnx')
const out = join(folder, 'golden.bin')

async function derived({ model: bytes }: OperatorCase, ...flags: string[]) {
  writeFileSync(model, bytes)
  const silent = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  return derive(['--model', model, '--out', out, ...flags]).finally(() => silent.mockRestore())
}
const x = tensor('x', 'FP32', [4], [1, 2, 3, 4])
const always = one('nan', 'Sqrt', [], ['FP32'], {
  initializers: [tensor('minus', 'FP32', [1], [-1])],
})
const random = one('random', 'RandomNormalLike', [x], ['FP32'])
/** Its windows reach beyond any size that could be made up. */
const picky = one('picky', 'Gather', [tensor('i', 'INT64', [1], [1])], ['FP32'], {
  ...{ initializers: [tensor('table', 'FP32', [0], [])], wires: ['table', 'i'] },
})

describe('A release that is made of a model', () => {
  it('takes inputs on which the model is defined: no logarithm of what is below zero', async () => {
    expect(await derived(one('log', 'Log', [x], ['FP32']))).toMatchObject({ ok: true })
    const [vector] = unwrap(decodeGolden(readFileSync(out)))
    const bytes = vector!.outputs[0]!.data
    const values = new Float32Array(bytes.slice().buffer)
    expect([...values].every(Number.isFinite)).toBe(true)
  })

  it.each([
    ['NaN', always, 'golden.not_a_number'],
    ['nothing but chance', random, 'golden.random'],
    ['a failure on every input', picky, 'golden.run_failed'],
  ])('does not promise %s', async (_, model, code) => {
    expect(await derived(model)).toMatchObject({
      error: { code, next: expect.stringMatching(/./) },
    })
  })

  it('holds text as it holds numbers', async () => {
    const words = one('words', 'Identity', [tensor('x', 'BYTES', [3], ['a', 'b', 'c'])], ['BYTES'])
    expect(await derived(words)).toMatchObject({ value: { vectors: 8 } })
    const [vector] = unwrap(decodeGolden(readFileSync(out)))
    expect(vector?.outputs[0]?.data).toEqual(vector?.inputs[0]?.data)
  })
})

describe('A file that nobody signed', () => {
  it('is described all the same, with what was not proved', async () => {
    expect(await derived(random, '--unsigned')).toMatchObject({ value: { random: ['y0'] } })
    expect(await derived(picky, '--unsigned')).toMatchObject({
      value: { vectors: 0, unproved: expect.stringContaining('Gather') },
    })
  })

  it('without any input known is taken on the reference, and nowhere else', async () => {
    writeFileSync(model, picky.model)
    const files = new Map<string, string>()
    const notes: string[] = []
    const file = { model: 'picky', version: '1.0.0', path: model }
    const say = (note: string) => void notes.push(note)
    const resolved = unwrap(await unsignedRelease(file, { spec: {}, folder, files, say }))
    expect(notes).toEqual([expect.stringContaining('NOT PROVED')])
    const { manifest, variant, unproved = '' } = resolved
    const path = (sha256: string) => files.get(sha256) ?? ''
    const { limits } = localProfile(['cpu'], 1)
    const task = {
      ...{ manifest, variant, unproved, limits, layout: null },
      ...{ modelPath: path(variant.artifact.sha256), goldenPath: path(variant.golden.sha256) },
    }
    const prove = (provider: 'cpu' | 'webgpu') =>
      proveRelease({ ...task, provider }, () => undefined)
    expect(await prove('cpu')).toMatchObject({ outcome: 'passed' })
    expect(await prove('webgpu')).toMatchObject({
      problem: { code: 'qualify.unproved', next: expect.stringContaining('test_data_set_0') },
    })
    const { unproved: _, ...signed } = task
    expect(await proveRelease({ ...signed, provider: 'cpu' }, () => undefined)).toMatchObject({
      ...{ outcome: 'inadmissible', problem: { code: 'golden.malformed', found: 'no vector' } },
    })
  }, 60_000)
})
