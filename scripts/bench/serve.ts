/**
 * `serve`: requests per second and p99 of the local API at 8 connections, JSON and binary, beside a
 * bare Hono server that does the same decoding; the two take turns, so a busy machine bothers both.
 */
import { cpuMs } from './cpu-time.ts'
import { load } from './load.ts'
import { type Encoding, mnistRequest } from './mnist-request.ts'
import { realModel, type Started, startLinnet, startPeer } from './programs.ts'
import { type BenchReport, type Figure, figure } from './report.ts'

const ROUNDS = 7
const ROUND_MS = 1_500
const WARM_UP_MS = 1_500
const CONNECTIONS = 8

export async function run(): Promise<BenchReport> {
  const model = realModel('mnist/mnist.onnx')
  const linnet = await startLinnet(model)
  const peer = await startPeer(model)
  try {
    const results: Figure[] = []
    for (const encoding of ['json', 'binary'] as const) {
      results.push(...(await compare(encoding, linnet, peer)))
    }
    return { bench: 'serve', results }
  } finally {
    await Promise.all([linnet.stop(), peer.stop()])
  }
}

async function compare(encoding: Encoding, linnet: Started, peer: Started): Promise<Figure[]> {
  const ours = { ...linnet, request: mnistRequest('/v2/models/mnist/infer', encoding) }
  const theirs = { ...peer, request: mnistRequest('/infer', encoding) }
  await drive(ours, WARM_UP_MS)
  await drive(theirs, WARM_UP_MS)
  const rates: number[] = []
  const ratios: number[] = []
  const tails: number[] = []
  const costs: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const first = await drive(round % 2 === 0 ? ours : theirs, ROUND_MS)
    const second = await drive(round % 2 === 0 ? theirs : ours, ROUND_MS)
    const [a, b] = round % 2 === 0 ? [first, second] : [second, first]
    if (a.failed + b.failed > 0) throw new Error(`${a.failed} and ${b.failed} requests failed`)
    rates.push(a.requestsPerS)
    ratios.push(a.requestsPerS / b.requestsPerS)
    tails.push(a.msP99 / b.msP99)
    costs.push(a.cpuUs / b.cpuUs)
  }
  const of = `mnist, ${encoding}, ${CONNECTIONS} connections`
  return [
    figure({ case: of, metric: 'throughput over bare', limit: 0.95, atLeast: true }, ratios),
    figure({ case: of, metric: 'p99 over bare', limit: 1.15 }, tails),
    figure({ case: of, metric: 'CPU per request over bare', limit: null }, costs),
    figure({ case: of, metric: 'requests per second', limit: null }, rates),
  ]
}

async function drive(target: Started & { readonly request: Buffer }, durationMs: number) {
  const to = { host: '127.0.0.1', port: target.port }
  const beforeMs = cpuMs(target.pid)
  const { request, pid } = target
  const figures = await load({ to, request, connections: CONNECTIONS, durationMs })
  return { ...figures, cpuUs: (1000 * (cpuMs(pid) - beforeMs)) / figures.answered }
}
