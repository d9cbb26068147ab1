/**
 * What this machine is, as its system tells it: for choosing a firmware profile. Limits that a
 * container sets count as the machine's own, since they hold for whoever runs there. Read only.
 */
import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'

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
/** Version 2 and version 1 of the kernel's control groups. */
const MEMORY_LIMITS = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']

export async function readMachine(folder: string): Promise<MachineFacts> {
  const physicalMb = Math.floor(totalmem() / MIB)
  const limitMb = memoryLimitMb()
  const physicalCores = availableParallelism()
  const quota = coreQuota()
  const disk = await statfs(folder)
  const model = cpus()[0]?.model.trim() ?? ''
  return {
    ...{ platform: process.platform, architecture: process.arch },
    board: firstText(DEVICE_TREE)?.replaceAll('\0', '').trim() || null,
    processor: model === '' || model === 'unknown' ? null : model,
    cores: Math.max(1, Math.min(physicalCores, Math.floor(quota))),
    memoryMb: Math.min(physicalMb, limitMb),
    diskFreeMb: Math.floor((disk.bavail * disk.bsize) / MIB),
    limits: [
      ...(limitMb < physicalMb ? [`memory ${limitMb} MB of ${physicalMb} MB`] : []),
      ...(quota < physicalCores ? [`processor ${quota.toFixed(1)} of ${physicalCores} cores`] : []),
    ],
  }
}

function memoryLimitMb(): number {
  const bytes = Number(firstText(MEMORY_LIMITS)?.trim())
  return Number.isFinite(bytes) && bytes > 0 ? Math.floor(bytes / MIB) : Number.POSITIVE_INFINITY
}

/** `cpu.max` of cgroup v2 is `QUOTA PERIOD`; v1 has a file for each. */
function coreQuota(): number {
  const [quota, period] = (firstText(['/sys/fs/cgroup/cpu.max']) ?? '').trim().split(' ')
  const old = (name: string) => firstText([`/sys/fs/cgroup/cpu/${name}`])
  const quotaUs = Number(quota || old('cpu.cfs_quota_us'))
  const periodUs = Number(period || old('cpu.cfs_period_us'))
  const cores = quotaUs / periodUs
  return Number.isFinite(cores) && cores > 0 ? cores : Number.POSITIVE_INFINITY
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
