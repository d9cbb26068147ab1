/** One inference request for mnist, ready to be sent. */
import { post } from './load.ts'

export type Encoding = 'json' | 'binary'

const MNIST = { name: 'Input3', datatype: 'FP32', shape: [1, 1, 28, 28] }
const PIXELS = 784

export function mnistRequest(path: string, encoding: Encoding): Buffer {
  const pixels = Float32Array.from({ length: PIXELS }, (_, i) => (i % 17) / 16)
  if (encoding === 'json') {
    const body = JSON.stringify({ inputs: [{ ...MNIST, data: Array.from(pixels) }] })
    return post(path, Buffer.from(body), { 'content-type': 'application/json' })
  }
  const input = { ...MNIST, parameters: { binary_data_size: pixels.byteLength } }
  const parameters = { binary_data_output: true }
  const header = Buffer.from(JSON.stringify({ parameters, inputs: [input] }))
  return post(path, Buffer.concat([header, Buffer.from(pixels.buffer)]), {
    'inference-header-content-length': String(header.length),
  })
}
