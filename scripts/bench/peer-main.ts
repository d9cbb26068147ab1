/**
 * What a developer would write without Linnet: Hono and ONNX Runtime, the same decoding, nothing
 * else. Started with a model file; prints its port. `serve` and `overhead` are measured beside it.
 */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { InferenceSession, Tensor } from 'onnxruntime-node'

const [modelPath = ''] = process.argv.slice(2)
const session = await InferenceSession.create(modelPath, {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
})

interface Wire {
  readonly name: string
  readonly datatype: string
  readonly shape: number[]
  readonly data?: number[]
  readonly parameters?: { readonly binary_data_size: number }
}

function feedsOf(body: ArrayBuffer, headerLength: number | undefined): Record<string, Tensor> {
  const bytes = new Uint8Array(body)
  const text = new TextDecoder().decode(bytes.subarray(0, headerLength ?? bytes.length))
  const { inputs } = JSON.parse(text) as { inputs: Wire[] }
  const feeds: Record<string, Tensor> = {}
  let at = headerLength ?? 0
  for (const { name, shape, data, parameters } of inputs) {
    const size = parameters?.binary_data_size ?? 0
    const elements =
      data === undefined ? new Float32Array(body.slice(at, at + size)) : Float32Array.from(data)
    feeds[name] = new Tensor('float32', elements, shape)
    at += size
  }
  return feeds
}

const app = new Hono()
app.post('/infer', async (context) => {
  const length = context.req.header('inference-header-content-length')
  const isBinary = length !== undefined
  const feeds = feedsOf(await context.req.arrayBuffer(), isBinary ? Number(length) : undefined)
  const results = await session.run(feeds)
  const outputs = Object.entries(results).map(([name, { data, dims }]) => {
    const values = data as Float32Array
    const common = { name, datatype: 'FP32', shape: dims }
    if (!isBinary) return { ...common, data: Array.from(values) }
    return { ...common, parameters: { binary_data_size: values.byteLength } }
  })
  if (!isBinary) return context.json({ model_name: 'peer', outputs })
  const header = new TextEncoder().encode(JSON.stringify({ model_name: 'peer', outputs }))
  const parts = Object.values(results).map(({ data }) => data as Float32Array)
  const body = Buffer.concat([header, ...parts.map((part) => Buffer.from(part.buffer))])
  return context.body(body, 200, {
    'content-type': 'application/octet-stream',
    'inference-header-content-length': String(header.length),
  })
})
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => {
  process.stdout.write(`${port}\n`)
})
