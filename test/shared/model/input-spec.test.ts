import { expect, it } from 'vitest'
import { inputSpecExample, inputSpecSchema } from '../../../shared/model/input-spec.ts'
import type { TensorSpec } from '../../../shared/model/tensor.ts'

it('shows for the inputs of a model what to type, whole and valid', () => {
  const inputs: TensorSpec[] = [
    { name: 'input_ids', datatype: 'INT64', shape: ['batch', 128] },
    { name: 'text', datatype: 'BYTES', shape: [1] },
  ]
  const text = inputSpecExample(inputs)
  expect(text).toBe(
    `--input-spec '{"input_ids":{"shape":[1,128],"min":0,"max":1},"text":{"shape":[1]}}'`,
  )
  const [, json = ''] = /'(.*)'/.exec(text) ?? []
  expect(inputSpecSchema.safeParse(JSON.parse(json)).success).toBe(true)
})

it('shows one of very many inputs', () => {
  const inputs: TensorSpec[] = Array.from({ length: 500 }, (_, i) => ({
    ...{ name: `input_${i}`, datatype: 'FP32' as const, shape: [4] },
  }))
  expect(inputSpecExample(inputs)).toBe(`--input-spec '{"input_0":{"shape":[4],"min":0,"max":1}}'`)
})
