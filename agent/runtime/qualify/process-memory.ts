/**
 * Memory of a process as its system tells it. Invariant: what the system does not tell is null, never
 * a guess. `maxRSS` of getrusage would not do on Linux: a child begins with the peak of its parent.
 */
import { readFileSync } from 'node:fs'

export interface ProcessMemory {
  readonly residentMb: number | null
  /** Most that was resident since the process began. */
  readonly peakMb: number | null
}

const KIB_PER_MIB = 1_024
const UNKNOWN: ProcessMemory = { residentMb: null, peakMb: null }

export function memoryOf(pid: number | 'self'): ProcessMemory {
  if (process.platform === 'linux') return linuxMemory(pid)
  if (pid !== 'self') return UNKNOWN
  const peakMb = process.resourceUsage().maxRSS / KIB_PER_MIB
  return { residentMb: process.memoryUsage.rss() / 2 ** 20, peakMb: peakMb > 0 ? peakMb : null }
}

/** proc(5): VmRSS and VmHWM of `/proc/<pid>/status`, in kB. */
function linuxMemory(pid: number | 'self'): ProcessMemory {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    return { residentMb: field(status, 'VmRSS'), peakMb: field(status, 'VmHWM') }
  } catch {
    return UNKNOWN
  }
}

function field(status: string, name: string): number | null {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
  return found === undefined ? null : Number(found) / KIB_PER_MIB
}
