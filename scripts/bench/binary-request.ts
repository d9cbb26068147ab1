/** An inference request of the Open Inference Protocol with binary tensors, ready to be sent. */
import { post } from './load.ts'

export interface FloatInput {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
}

/** Asks for binary outputs as well. */
export function binaryRequest(path: string, { name, shape, data }: FloatInput): Buffer {
  const parameters = { binary_data_size: data.byteLength }
  const input = { name, datatype: 'FP32', shape, parameters }
  const asked = { parameters: { binary_data_output: true }, inputs: [input] }
  const header = Buffer.from(JSON.stringify(asked))
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return post(path, Buffer.concat([header, bytes]), {
    'inference-header-content-length': String(header.length),
  })
}
