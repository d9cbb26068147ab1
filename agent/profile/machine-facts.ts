/**
 * What this machine is, as its system tells it: for choosing a firmware profile. Limits that a
 * container sets count as the machine's own, since they hold for whoever runs there. Read only.
 */
import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { usableCores } from '../runtime/host/usable-cores.ts'

export interface MachineFacts {
  readonly platform: string
  /** As Node names it: x64, arm64. */
  readonly architecture: string
  /** Name of the board, from the device tree; null where there is none. */
  readonly board: string | null
  /** Name of the processor; null where the system does not tell (most of Arm). */
  readonly processor: string | null
  /** Cores that this process may use. */
  readonly cores: number
  readonly memoryMb: number
  readonly diskFreeMb: number
  /** Limits of a control group that are tighter than the machine. */
  readonly limits: readonly string[]
}

const MIB = 2 ** 20
const DEVICE_TREE = ['/proc/device-tree/model', '/sys/firmware/devicetree/base/model']

export async function readMachine(folder: string): Promise<MachineFacts> {
  const physicalMb = Math.floor(totalmem() / MIB)
  const limitMb = memoryLimitMb()
  const physicalCores = availableParallelism()
  const cores = usableCores()
  const disk = await statfs(folder)
  const model = cpus()[0]?.model.trim() ?? ''
  return {
    ...{ platform: process.platform, architecture: process.arch },
    board: firstText(DEVICE_TREE)?.replaceAll('\0', '').trim() || null,
    processor: model === '' || model === 'unknown' ? null : model,
    cores,
    memoryMb: Math.min(physicalMb, limitMb),
    diskFreeMb: Math.floor((disk.bavail * disk.bsize) / MIB),
    limits: [
      ...(limitMb < physicalMb ? [`memory ${limitMb} MB of ${physicalMb} MB`] : []),
      ...(cores < physicalCores ? [`processor ${cores} of ${physicalCores} cores`] : []),
    ],
  }
}

/** Of the control groups that this process is in, as Node finds it; none is a huge number or zero. */
function memoryLimitMb(): number {
  const bytes = process.constrainedMemory()
  return bytes > 0 ? Math.floor(bytes / MIB) : Number.POSITIVE_INFINITY
}

function firstText(paths: readonly string[]): string | undefined {
  for (const path of paths) {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      // Another system, or no such limit.
    }
  }
  return undefined
}
