/** Folders of ONNX backend tests, as `npm run conformance` reads and judges them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import { encodeTensor, type NamedTensor } from '../../shared/onnx/tensor-codec.ts'
import { one, tensor } from '../fixtures/operators/case.ts'
import { casesIn, dataOf, judge } from './onnx-case.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-onnx-cases-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const A = tensor('a', 'FP32', [2], [1, 2])
const B = tensor('b', 'FP32', [2], [3, 4])
const SUM = tensor('y0', 'FP32', [2], [4, 6])
const unnamed = (value: NamedTensor): NamedTensor => ({ ...value, name: '' })
const packed: NamedTensor = {
  ...{ name: 'a', datatype: 'INT4', shape: [2], data: new Uint8Array([0x21]) },
}

function write(name: string, inputs: readonly NamedTensor[], outputs: readonly NamedTensor[]) {
  const set = join(folder, name, 'test_data_set_0')
  mkdirSync(set, { recursive: true })
  writeFileSync(join(set, '../model.onnx'), one(name, 'Add', [A, B], ['FP32']).model)
  for (const [i, input] of inputs.entries()) {
    writeFileSync(join(set, `input_${i}.pb`), encodeTensor(input))
  }
  for (const [i, output] of outputs.entries()) {
    writeFileSync(join(set, `output_${i}.pb`), encodeTensor(output))
  }
}

describe('ONNX backend tests', () => {
  write('node/test_add', [A, B].map(unnamed), [unnamed(SUM)])
  write('node/test_packed', [packed, B], [SUM])
  write('other/test_output', [A, B], [{ ...packed, name: 'y0' }])
  mkdirSync(join(folder, 'node/no-case'))
  const cases = casesIn(folder)
  const [add, packedInput, packedOutput] = cases
  const answer = (value: TensorValue) => async () => [value]

  it('are found in every folder, in the order of their names', () => {
    const names = ['test_add', 'test_packed', 'test_output']
    expect(cases.map(({ name }) => name)).toEqual(names)
  })

  it('are fed by place where a file names no input', () => {
    expect(dataOf(add!)).toMatchObject({
      value: [{ inputs: [{ name: 'a' }, { name: 'b' }], outputs: [{ name: 'y0' }] }],
    })
  })

  it('pass by what stands there, and fail by other values, shapes and errors', async () => {
    const half = tensor('y0', 'FP32', [2], [4, 6.5])
    const flat = tensor('y0', 'FP32', [1, 2], [4, 6])
    expect(await judge(7, add!, answer(SUM))).toEqual({ i: 7, ran: true, right: true, why: '' })
    expect(await judge(7, add!, answer(half))).toMatchObject({ ran: true, right: false })
    expect(await judge(7, add!, answer(flat))).toMatchObject({ ran: true, right: false })
    const broken = judge(7, add!, () => Promise.reject(new Error('no kernel')))
    expect(await broken).toEqual({ i: 7, ran: false, right: false, why: 'no kernel' })
  })

  it('with inputs that no binding carries run nowhere, with such outputs they are not compared', async () => {
    const verdict = await judge(0, packedInput!, answer(SUM))
    expect(verdict).toMatchObject({ ran: false, why: expect.stringContaining('INT4') })
    expect(await judge(0, packedOutput!, answer(SUM))).toMatchObject({ ran: true, right: false })
  })
})
