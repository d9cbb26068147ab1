/**
 * `swap`: the UltraFace pair takes turns as `current` under requests that arrive every 12 ms. None
 * may be lost or answered twice, and the worst wait around a swap stays near the steady one. Swaps
 * and quiet stretches alternate, so that both meet the same machine; the worst of each quiet stretch
 * tells how far the p99 of worsts lies above the p99 of all where nothing is swapped.
 */

import { arrivals } from './arrivals.ts'
import { alone, createBenchDevice } from './device.ts'
import { post } from './load.ts'
import { type BenchReport, figure } from './report.ts'

const SWAPS = Number(process.env.LINNET_BENCH_SWAPS ?? 1_000)
const EVERY_MS = Number(process.env.LINNET_BENCH_EVERY_MS ?? 12)
const WARM_UP_REQUESTS = 400
/** Whoever waits because of a swap has his answer before what counts as quiet begins. */
const SETTLE_REQUESTS = 5
/** As many as were answered around the swap before, and no fewer than these. */
const QUIET_REQUESTS_MIN = 3
const SHAPE = [1, 3, 240, 320]

export async function run(): Promise<BenchReport> {
  const device = await createBenchDevice()
  try {
    const slim = await device.release('faces', '1.0.0', 'ultraface/version-slim-320.onnx')
    const rfb = await device.release('faces', '2.0.0', 'ultraface/version-RFB-320.onnx')
    await device.serve(alone('faces', slim, rfb))
    const stream = arrivals({ port: device.port, request: request(), everyMs: EVERY_MS })
    await stream.answers(WARM_UP_REQUESTS)
    stream.take()
    const steady: number[] = []
    const worst: number[] = []
    const quietWorst: number[] = []
    for (let i = 0; i < SWAPS; i++) {
      const [current, previous] = i % 2 === 0 ? [rfb, slim] : [slim, rfb]
      await device.serve(alone('faces', current, previous))
      await stream.answers(2)
      const around = stream.take()
      worst.push(Math.max(...around))
      await stream.answers(SETTLE_REQUESTS)
      stream.take()
      await stream.answers(Math.max(QUIET_REQUESTS_MIN, around.length))
      const quiet = stream.take()
      quietWorst.push(Math.max(...quiet))
      steady.push(...quiet)
    }
    const { sent, answered, failed, again } = await stream.end()
    const p99 = (times: readonly number[]): number =>
      times.toSorted((a, b) => a - b)[Math.floor(0.99 * (times.length - 1))] ?? 0
    const of = `${SWAPS} swaps of the UltraFace pair`
    return {
      bench: 'swap',
      results: [
        figure({ case: of, metric: 'requests lost', limit: 0 }, [sent - answered]),
        figure({ case: of, metric: 'requests answered twice', limit: 0 }, [again]),
        figure({ case: of, metric: 'requests failed', limit: 0 }, [failed]),
        figure({ case: of, metric: 'p99 of the worst over steady p99', limit: 2.5 }, [
          p99(worst) / p99(steady),
        ]),
        figure({ case: of, metric: 'the same where nothing is swapped', limit: null }, [
          p99(quietWorst) / p99(steady),
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
