/**
 * `overhead`: what a call of the in-process runtime costs over a bare `session.run` of the same model
 * and input, telemetry on. Calls take turns in one process; the figure is the median of the ratios
 * (or differences) of neighbours, so that a busy machine bothers both of a pair.
 */
import { readFile } from 'node:fs/promises'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { createRuntime } from '../../agent/runtime/in-process.ts'
import { measureSocket } from './overhead-socket.ts'
import { realModel } from './programs.ts'
import { type BenchReport, type Figure, figure, median } from './report.ts'

interface Case {
  readonly model: string
  readonly file: string
  readonly pairs: number
  /** A ratio where runs are long, microseconds where they are short. */
  readonly limit: { readonly ratio: number } | { readonly us: number }
}

const CASES: readonly Case[] = [
  { model: 'mnist', file: 'mnist/mnist.onnx', pairs: 600, limit: { us: 20 } },
  { model: 'ultraface', file: 'ultraface/version-RFB-320.onnx', pairs: 60, limit: { ratio: 1.02 } },
  { model: 'squeezenet', file: 'light/light_squeezenet.onnx', pairs: 40, limit: { ratio: 1.02 } },
]
/**
 * Calls of each side before the first that counts, so that both are measured compiled, as they are
 * for most of a process's life: after a long run the bytecode of a call is in no cache any more, and
 * interpreting it takes three times as long.
 */
const WARM_UPS = 1_500
const ROUNDS = 5

export async function run(): Promise<BenchReport> {
  const results: Figure[] = []
  for (const each of CASES) results.push(await measure(each))
  results.push(...(await measureSocket()))
  return { bench: 'overhead', results }
}

async function measure({ model, file, pairs, limit }: Case): Promise<Figure> {
  const path = realModel(file)
  const runtime = await createRuntime({ models: [{ model, path }], inline: true })
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4 } as const
  const session = await InferenceSession.create(await readFile(path), options)
  const input = runtime.models()[0]!.inputs[0]!
  const shape = input.shape.map((size) => (typeof size === 'number' ? size : 1))
  const size = shape.reduce((product, next) => product * next, 1)
  const data = Float32Array.from({ length: size }, (_, i) => (i % 255) / 255)
  const bare = () => session.run({ [input.name]: new Tensor('float32', data, shape) })
  const inputs = { [input.name]: { datatype: 'FP32', shape, data } } as const
  const ours = () => runtime.infer(model, inputs)
  for (let i = 0; i < WARM_UPS; i++) await Promise.all([bare(), ours()])
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const found: number[] = []
    for (let i = 0; i < pairs; i++) {
      const [a, b] = i % 2 === 0 ? [await time(ours), await time(bare)] : await swapped(ours, bare)
      found.push('ratio' in limit ? a / b : (a - b) * 1000)
    }
    rounds.push(median(found))
  }
  await runtime.close()
  await session.release()
  const of = `${model}, in process, inline`
  if ('ratio' in limit) {
    return figure({ case: of, metric: 'time over bare', limit: limit.ratio }, rounds)
  }
  return figure({ case: of, metric: 'us more than bare', limit: limit.us }, rounds)
}

async function swapped(
  ours: () => Promise<unknown>,
  bare: () => Promise<unknown>,
): Promise<[number, number]> {
  const b = await time(bare)
  return [await time(ours), b]
}

async function time(call: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await call()
  return performance.now() - startMs
}
