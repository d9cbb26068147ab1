/** One inference request for mnist, ready to be sent. */
import { binaryRequest } from './binary-request.ts'
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
  return binaryRequest(path, { name: MNIST.name, shape: MNIST.shape, data: pixels })
}
