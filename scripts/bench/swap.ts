/**
 * `swap`: the UltraFace pair takes turns as `current` under requests that arrive every 12 ms. None
 * may be lost or answered twice, and the worst wait around a swap stays near the steady one.
 */

import { arrivals } from './arrivals.ts'
import { alone, createBenchDevice } from './device.ts'
import { post } from './load.ts'
import { type BenchReport, figure } from './report.ts'

const SWAPS = Number(process.env.LINNET_BENCH_SWAPS ?? 1_000)
const EVERY_MS = Number(process.env.LINNET_BENCH_EVERY_MS ?? 12)
const STEADY_REQUESTS = 400
const SHAPE = [1, 3, 240, 320]

export async function run(): Promise<BenchReport> {
  const device = await createBenchDevice()
  try {
    const slim = await device.release('faces', '1.0.0', 'ultraface/version-slim-320.onnx')
    const rfb = await device.release('faces', '2.0.0', 'ultraface/version-RFB-320.onnx')
    await device.serve(alone('faces', slim, rfb))
    const stream = arrivals({ port: device.port, request: request(), everyMs: EVERY_MS })
    await stream.answers(STEADY_REQUESTS)
    const steady = stream.take()
    const worst: number[] = []
    for (let i = 0; i < SWAPS; i++) {
      const [current, previous] = i % 2 === 0 ? [rfb, slim] : [slim, rfb]
      await device.serve(alone('faces', current, previous))
      await stream.answers(2)
      worst.push(Math.max(...stream.take()))
    }
    const { sent, answered, failed } = await stream.end()
    const p99 = (times: readonly number[]): number =>
      times.toSorted((a, b) => a - b)[Math.floor(0.99 * (times.length - 1))] ?? 0
    const of = `${SWAPS} swaps of the UltraFace pair`
    return {
      bench: 'swap',
      results: [
        figure({ case: of, metric: 'requests lost', limit: 0 }, [sent - answered]),
        figure({ case: of, metric: 'requests failed', limit: 0 }, [failed]),
        figure({ case: of, metric: 'p99 of the worst over steady p99', limit: 2.5 }, [
          p99(worst) / p99(steady),
        ]),
        figure({ case: of, metric: 'steady p99, ms', limit: null }, [p99(steady)]),
      ],
    }
  } finally {
    await device.close()
  }
}

function request(): Buffer {
  const size = SHAPE.reduce((product, next) => product * next, 1)
  const pixels = Float32Array.from({ length: size }, (_, i) => ((i % 255) - 127) / 128)
  const input = { name: 'input', datatype: 'FP32', shape: SHAPE }
  const parameters = { binary_data_output: true }
  const inputs = [{ ...input, parameters: { binary_data_size: pixels.byteLength } }]
  const header = Buffer.from(JSON.stringify({ parameters, inputs }))
  return post('/v2/models/faces/infer', Buffer.concat([header, Buffer.from(pixels.buffer)]), {
    'inference-header-content-length': String(header.length),
  })
}
