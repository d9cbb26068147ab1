/**
 * `batch`: 32 concurrent clients of silero-vad, a small model with state, with and without batching.
 * The two take turns in one run, so that a busy machine bothers both. In process the clients call the
 * runtime themselves; over HTTP each has a connection, and what a server does for every request beside
 * the run (reading, decoding, answering) stands in both sides of the ratio.
 */
import { createRuntime, type InProcessInputs } from '../../agent/runtime/in-process.ts'
import type { InputSpec } from '../../shared/model/input-spec.ts'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import { load, post } from './load.ts'
import { realModel, type Started, startLinnet } from './programs.ts'
import { type BenchReport, type Figure, figure } from './report.ts'

const CLIENTS = 32
const ROUNDS = 7
/** A round is so many short turns of each side: what else the machine does changes slower. */
const TURNS = 8
const TURN_MS = 200
const WARM_UP_MS = 1_000
/** One frame of 32 ms at 16 kHz, with what the model asks to be repeated before it. */
const FRAME = 576
const SPEC: InputSpec = {
  input: { shape: [1, FRAME], min: -1, max: 1 },
  state: { shape: [2, 1, 128] },
  sr: { value: 16_000 },
}

/** The times of the requests of one turn, and how long it took. */
interface Turn {
  readonly timesMs: readonly number[]
  readonly tookMs: number
}
type Drive = (durationMs: number) => Promise<Turn>

export async function run(): Promise<BenchReport> {
  const path = realModel('silero-vad/silero_vad.onnx')
  const results = [...(await inProcess(path)), ...(await overHttp(path))]
  return { bench: 'batch', results }
}

async function inProcess(path: string): Promise<Figure[]> {
  const models = [{ model: 'silero', path }]
  const start = (batching: 'auto' | 'off') =>
    createRuntime({ models, inputSpec: SPEC, batching, inline: true })
  const [together, apart] = [await start('auto'), await start('off')]
  const inputs: InProcessInputs = Object.fromEntries(frame().map((each) => [each.name, each]))
  const drive = (runtime: typeof together) => (durationMs: number) =>
    callers(() => runtime.infer('silero', inputs), durationMs)
  try {
    return await compare(`silero, in process, ${CLIENTS} clients`, drive(together), drive(apart), 2)
  } finally {
    await together.close()
    await apart.close()
  }
}

async function overHttp(path: string): Promise<Figure[]> {
  const spec = ['--input-spec', JSON.stringify(SPEC)]
  const together = await startLinnet(path, spec)
  const apart = await startLinnet(path, [...spec, '--batch', 'off'])
  const request = frameRequest()
  const drive =
    ({ port }: Started): Drive =>
    async (durationMs) => {
      const to = { host: '127.0.0.1', port }
      const turn = await load({ to, request, connections: CLIENTS, durationMs })
      if (turn.failed > 0) throw new Error(`${turn.failed} requests failed`)
      return turn
    }
  try {
    const of = `silero, HTTP, ${CLIENTS} connections`
    return await compare(of, drive(together), drive(apart), null)
  } finally {
    await Promise.all([together.stop(), apart.stop()])
  }
}

async function compare(
  of: string,
  together: Drive,
  apart: Drive,
  limit: number | null,
): Promise<Figure[]> {
  await together(WARM_UP_MS)
  await apart(WARM_UP_MS)
  const [ratios, tails, rates]: number[][] = [[], [], []]
  for (let round = 0; round < ROUNDS; round++) {
    const [ours, theirs]: Turn[][] = [[], []]
    for (let turn = 0; turn < TURNS; turn++) {
      if (turn % 2 === 0) ours!.push(await together(TURN_MS))
      theirs!.push(await apart(TURN_MS))
      if (turn % 2 === 1) ours!.push(await together(TURN_MS))
    }
    const [a, b] = [figuresOf(ours!), figuresOf(theirs!)]
    ratios!.push(a.requestsPerS / b.requestsPerS)
    tails!.push(a.msP99 / b.msP99)
    rates!.push(a.requestsPerS)
  }
  const name = { case: of }
  return [
    figure({ ...name, metric: 'throughput over single runs', limit, atLeast: true }, ratios!),
    figure({ ...name, metric: 'p99 over single runs', limit: limit === null ? null : 1 }, tails!),
    figure({ ...name, metric: 'requests per second', limit: null }, rates!),
  ]
}

function figuresOf(turns: readonly Turn[]): { requestsPerS: number; msP99: number } {
  const times = turns.flatMap(({ timesMs }) => timesMs).toSorted((a, b) => a - b)
  const seconds = turns.reduce((sum, { tookMs }) => sum + tookMs, 0) / 1000
  return {
    requestsPerS: times.length / seconds,
    msP99: times[Math.floor(0.99 * (times.length - 1))] ?? 0,
  }
}

/** Each client asks again as soon as it is answered. */
async function callers(ask: () => Promise<unknown>, durationMs: number): Promise<Turn> {
  const timesMs: number[] = []
  const startMs = performance.now()
  const endMs = startMs + durationMs
  const client = async (): Promise<void> => {
    for (let atMs = performance.now(); atMs < endMs; ) {
      await ask()
      const nowMs = performance.now()
      timesMs.push(nowMs - atMs)
      atMs = nowMs
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  return { timesMs, tookMs: performance.now() - startMs }
}

function frame(): TensorValue[] {
  const wave = Float32Array.from({ length: FRAME }, (_, i) => 0.1 * Math.sin(i / 7))
  return [
    { name: 'input', datatype: 'FP32', shape: [1, FRAME], data: wave },
    { name: 'state', datatype: 'FP32', shape: [2, 1, 128], data: new Float32Array(256) },
    { name: 'sr', datatype: 'INT64', shape: [], data: BigInt64Array.of(16_000n) },
  ]
}

function frameRequest(): Buffer {
  const tensors = frame().map(({ data, ...spec }) => {
    const { buffer } = data as Float32Array<ArrayBuffer>
    const parameters = { binary_data_size: buffer.byteLength }
    return { bytes: Buffer.from(buffer), header: { ...spec, parameters } }
  })
  const inputs = tensors.map(({ header }) => header)
  const header = Buffer.from(JSON.stringify({ parameters: { binary_data_output: true }, inputs }))
  const body = Buffer.concat([header, ...tensors.map(({ bytes }) => bytes)])
  return post('/v2/models/silero_vad/infer', body, {
    'inference-header-content-length': String(header.length),
  })
}
