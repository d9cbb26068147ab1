/**
 * `memory`: resident memory of the model host after a model of 100 MB was unloaded, and over many
 * loads and unloads of a small one, against what it was before.
 */
import { readFileSync } from 'node:fs'
import { alone, type BenchDevice, createBenchDevice } from './device.ts'
import { type BenchReport, figure } from './report.ts'

const CYCLES = Number(process.env.LINNET_BENCH_CYCLES ?? 10_000)
/** Code, caches and the heap's own headroom come with the first cycles. */
const WARM_CYCLES = Math.ceil(CYCLES / 10)
const GROWTH_MB_MAX = 35
const PAGE_BYTES = 4096
const SETTLE_MS = 1_500

export async function run(): Promise<BenchReport> {
  const device = await createBenchDevice()
  try {
    const small = await device.release('mnist', '1.0.0', 'mnist/mnist.onnx')
    const large = await device.release('resnet', '1.0.0', 'light/light_resnet50.onnx')
    await device.serve(alone('mnist', small))
    const beforeMb = await residentMb(device)
    await device.serve(alone('mnist', small), alone('resnet', large))
    const loadedMb = await residentMb(device)
    await device.serve(alone('mnist', small))
    const afterMb = await residentMb(device)
    const cycle = async (): Promise<void> => {
      await device.serve()
      await device.serve(alone('mnist', small))
    }
    for (let i = 0; i < WARM_CYCLES; i++) await cycle()
    const warmMb = await residentMb(device)
    for (let i = WARM_CYCLES; i < CYCLES; i++) await cycle()
    const grownMb = (await residentMb(device)) - warmMb
    const of = 'resnet50 unloaded'
    return {
      bench: 'memory',
      results: [
        figure({ case: of, metric: 'MB over before', limit: GROWTH_MB_MAX }, [afterMb - beforeMb]),
        figure({ case: 'resnet50 loaded', metric: 'MB over before', limit: null }, [
          loadedMb - beforeMb,
        ]),
        figure({ case: `${CYCLES} cycles of mnist`, metric: 'MB grown', limit: 5 }, [grownMb]),
      ],
    }
  } finally {
    await device.close()
  }
}

async function residentMb(device: BenchDevice): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  const pages = Number(readFileSync(`/proc/${device.hostPid()}/statm`, 'latin1').split(' ')[1])
  return (pages * PAGE_BYTES) / 2 ** 20
}
