/**
 * `loop`: how long the event loop of the agent's control process stands still while its model host
 * is saturated. The control process is this one: the runtime lives here as it does in the agent. The
 * requests come from another process, so that they do not burden the loop that is measured.
 */
import { spawn } from 'node:child_process'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { programAt } from '../../shared/node/program.ts'
import { alone, createBenchDevice } from './device.ts'
import { type BenchReport, figure } from './report.ts'

const ROUNDS = 5
const ROUND_MS = 2_000
const RESOLUTION_MS = 1
const GAP_MS_MAX = 20

export async function run(): Promise<BenchReport> {
  const device = await createBenchDevice()
  const { file, execArgv } = programAt(import.meta.url, './saturate-main')
  try {
    const mnist = await device.release('mnist', '1.0.0', 'mnist/mnist.onnx')
    await device.serve(alone('mnist', mnist))
    const idle = await gaps()
    const client = spawn(process.execPath, [...execArgv, file, String(device.port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => client.stdout.once('data', resolve))
    const busy = await gaps()
    client.kill('SIGTERM')
    const of = 'control process'
    return {
      bench: 'loop',
      results: [
        figure({ case: of, metric: 'gap p99 under load, ms', limit: GAP_MS_MAX }, busy),
        figure({ case: of, metric: 'gap p99 idle, ms', limit: null }, idle),
      ],
    }
  } finally {
    await device.close()
  }
}

/** The 99th percentile of the gaps between two turns of this loop, one for each round. */
async function gaps(): Promise<number[]> {
  const found: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const monitor = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    monitor.enable()
    await new Promise((resolve) => setTimeout(resolve, ROUND_MS))
    monitor.disable()
    found.push(monitor.percentile(99) / 1e6)
  }
  return found
}
