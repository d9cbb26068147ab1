/**
 * `memory`: resident memory of the model host after a model of 100 MB was unloaded, and its slope
 * over many loads and unloads of a small one. `--quick`: 3,000 cycles instead of 10,000.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { alone, type BenchDevice, createBenchDevice } from './device.ts'
import { type BenchReport, figure } from './report.ts'

const CYCLES = process.argv.includes('--quick') ? 3_000 : 10_000
/** The heap of a process takes its size, some 35 MB more, with the first 1,300. */
const WARM_CYCLES = 1_500
const SAMPLES = 30
const UNLOADED_MB_MAX = 35
/** One session of mnist that stays in every 400 cycles is seen. */
const GROWN_MB_MAX = 5
const PAGE_BYTES = 4096
const SETTLE_MS = 1_500

export async function run(): Promise<BenchReport> {
  const device = await createBenchDevice()
  try {
    const small = await device.release('mnist', '1.0.0', 'mnist/mnist.onnx')
    const large = await device.release('resnet', '1.0.0', 'light/light_resnet50.onnx')
    await device.serve(alone('mnist', small))
    const beforeMb = await settledMb(device)
    await device.serve(alone('mnist', small), alone('resnet', large))
    const loadedMb = await settledMb(device)
    await device.serve(alone('mnist', small))
    const afterMb = await settledMb(device)
    const cycle = async (): Promise<void> => {
      await device.serve()
      await device.serve(alone('mnist', small))
    }
    for (let i = 0; i < WARM_CYCLES; i++) await cycle()
    const warmMb = await settledMb(device)
    const samples = await sampled(device, cycle, CYCLES - WARM_CYCLES)
    const grownMb = (await settledMb(device)) - warmMb
    const cycles = `${CYCLES} loads and unloads of mnist`
    const unloaded = { case: 'resnet50 unloaded', metric: 'MB over before' }
    return {
      bench: 'memory',
      results: [
        figure({ ...unloaded, limit: UNLOADED_MB_MAX }, [afterMb - beforeMb]),
        figure({ case: 'resnet50 loaded', metric: 'MB over before', limit: null }, [
          loadedMb - beforeMb,
        ]),
        figure({ case: cycles, metric: 'MB grown', limit: GROWN_MB_MAX }, [grownMb]),
        figure({ case: cycles, metric: 'MB by the slope of the whole run', limit: GROWN_MB_MAX }, [
          slope(samples) * (CYCLES - WARM_CYCLES),
        ]),
      ],
    }
  } finally {
    await device.close()
  }
}

type Sample = readonly [cycles: number, mb: number]

async function sampled(
  device: BenchDevice,
  cycle: () => Promise<void>,
  cycles: number,
): Promise<Sample[]> {
  const samples: Sample[] = []
  const each = Math.ceil(cycles / SAMPLES)
  for (let i = 1; i <= cycles; i++) {
    await cycle()
    if (i % each === 0) samples.push([i, residentMb(device)])
  }
  return samples
}

/** Theil-Sen: the median of all pairwise slopes, which a few collections of garbage do not bend. */
function slope(samples: readonly Sample[]): number {
  const slopes = samples.flatMap(([x, y], i) =>
    samples.slice(i + 1).map(([otherX, otherY]) => (otherY - y) / (otherX - x)),
  )
  return slopes.toSorted((a, b) => a - b)[Math.floor(slopes.length / 2)] ?? 0
}

async function settledMb(device: BenchDevice): Promise<number> {
  await sleep(SETTLE_MS)
  return residentMb(device)
}

function residentMb(device: BenchDevice): number {
  const pages = Number(readFileSync(`/proc/${device.hostPid()}/statm`, 'latin1').split(' ')[1])
  return (pages * PAGE_BYTES) / 2 ** 20
}
