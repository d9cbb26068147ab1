/**
 * How many cores this process may use, and how many threads that leaves for one run. The system's
 * count of processors is not it: a container has a quota of their time (Linux, Documentation/
 * admin-guide/cgroup-v2, "CPU Interface Files"; v1: scheduler/sched-bwc), and several hosts share it.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'

export interface ThreadCap {
  readonly threadsMax: number
  /** Why it is less than the profile allows; undefined where it is not. */
  readonly reason: string | undefined
}

/** Runs of all hosts together take no more threads than there are cores. */
export function capThreads(
  { limits }: Pick<FirmwareProfile, 'limits'>,
  cores: number,
  hosts: number,
): ThreadCap {
  const share = Math.max(1, Math.floor(cores / hosts))
  if (share >= limits.threadsMax) return { threadsMax: limits.threadsMax, reason: undefined }
  const shared = hosts === 1 ? '1 model host' : `${hosts} model hosts`
  return {
    threadsMax: share,
    reason: `the profile allows ${limits.threadsMax} threads; ${cores} usable cores for ${shared} leave ${share}`,
  }
}

/** At least 1. @param root of the file system, for tests. */
export function usableCores(cores = availableParallelism(), root = '/'): number {
  const quota = Math.min(...quotas(root))
  return Math.max(1, Math.min(cores, Math.floor(quota)))
}

/** A quota above this process binds it as well. */
function quotas(root: string): number[] {
  const found = [Infinity]
  for (const line of readText(join(root, 'proc/self/cgroup')).split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    if (controllers === '') {
      const base = join(root, 'sys/fs/cgroup')
      for (const folder of upwards(base, path)) found.push(quotaV2(join(folder, 'cpu.max')))
    } else if (controllers.split(',').includes('cpu')) {
      const base = join(root, 'sys/fs/cgroup/cpu')
      for (const folder of upwards(base, path)) found.push(quotaV1(folder))
    }
  }
  return found
}

/** The folder of the group and those above it; in a container the group's path may not exist. */
function upwards(base: string, path: string): string[] {
  const folders = [base]
  for (let at = path; at !== '/' && folders.length < 32; at = dirname(at)) {
    folders.push(join(base, at))
  }
  return folders
}

/** `200000 100000` is 2 cores, `max 100000` no quota. */
function quotaV2(file: string): number {
  const [quota, period] = readText(file).trim().split(/\s+/).map(Number)
  return coresOf(quota, period)
}

function quotaV1(folder: string): number {
  const quota = Number(readText(join(folder, 'cpu.cfs_quota_us')).trim() || '-1')
  const period = Number(readText(join(folder, 'cpu.cfs_period_us')).trim() || '0')
  return coresOf(quota, period)
}

function coresOf(quota = Number.NaN, period = Number.NaN): number {
  return quota > 0 && period > 0 ? quota / period : Infinity
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
