/**
 * The part of `overhead` that crosses a process: the same request through the Unix socket of
 * `linnet serve`, beside the client's own `session.run` and a bare echo of the same bytes. On one CPU
 * everything adds up and the ratio to the run says what the way costs; free, what is on top of the
 * run is compared with the echo.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { programAt } from '../../shared/node/program.ts'
import { commandOf, realModel, startEcho, startLinnet } from './programs.ts'
import { type Figure, figure, median } from './report.ts'

interface Case {
  readonly name: string
  readonly file: string
  readonly calls: number
  readonly ratioMax: number
}

const CASES: readonly Case[] = [
  { name: 'mnist', file: 'mnist/mnist.onnx', calls: 600, ratioMax: 2 },
  { name: 'ultraface', file: 'ultraface/version-RFB-320.onnx', calls: 60, ratioMax: 1.25 },
]
const ROUNDS = 5
const ECHOES_MAX = 2
const OUTPUT_BYTES_MAX = 1_048_576
const timesSchema = z.array(z.number())
const takenSchema = z.object({ bare: timesSchema, ask: timesSchema, echo: timesSchema })
const execute = promisify(execFile)

export async function measureSocket(): Promise<Figure[]> {
  const results: Figure[] = []
  for (const each of CASES) {
    const lastCpu = availableParallelism() - 1
    const pinned = await rounds(each, lastCpu)
    const ratios = pinned.map(({ bare, ask }) => median(ask.map((ms, i) => ms / bare[i]!)))
    results.push(
      figure(
        {
          case: `${each.name}, Unix socket, one CPU`,
          ...{ metric: 'time over bare', limit: each.ratioMax },
        },
        ratios,
      ),
    )
    const free = await rounds(each)
    const echoes = free.map(({ bare, ask, echo }) => (median(ask) - median(bare)) / median(echo))
    const of = `${each.name}, Unix socket, free`
    results.push(figure({ case: of, metric: 'echoes on top of bare', limit: ECHOES_MAX }, echoes))
  }
  return results
}

async function rounds({ file, calls }: Case, cpu?: number) {
  const folder = await mkdtemp(join(tmpdir(), 'linnet-overhead-'))
  const model = realModel(file)
  const socketPath = join(folder, 'host.sock')
  const echoPath = join(folder, 'echo.sock')
  const linnet = await startLinnet(model, ['--socket', socketPath], cpu)
  const echo = await startEcho(echoPath, cpu)
  try {
    const client = programAt(import.meta.url, './socket-client-main')
    const args = [model, linnet.path, socketPath, echoPath, String(calls)]
    const [command = '', ...rest] = commandOf(client, args, cpu)
    const found: z.infer<typeof takenSchema>[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const { stdout } = await execute(command, rest, { maxBuffer: OUTPUT_BYTES_MAX })
      found.push(takenSchema.parse(JSON.parse(stdout)))
    }
    return found
  } finally {
    await Promise.all([linnet.stop(), echo.stop()])
    await rm(folder, { recursive: true, force: true })
  }
}
