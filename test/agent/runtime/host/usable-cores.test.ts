/** How many threads a run may take: what the system grants, not what the machine has. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { capThreads, usableCores } from '../../../../agent/runtime/host/usable-cores.ts'
import { PROFILE } from '../release-builder.ts'

let root = ''
afterEach(() => rmSync(root, { recursive: true, force: true }))
function system(files: Readonly<Record<string, string>>): string {
  root = mkdtempSync(join(tmpdir(), 'linnet-cgroup-'))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return root
}

describe('Usable cores', () => {
  it.each<[string, Record<string, string>, number]>([
    ['all, where nothing limits them', {}, 8],
    [
      'all, where the group has no quota',
      { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': 'max 100000\n' },
      8,
    ],
    [
      'as many as the quota of a container',
      { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '200000 100000\n' },
      2,
    ],
    [
      'whole ones of a quota, and at least one',
      { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '50000 100000\n' },
      1,
    ],
    [
      'the least of all groups above',
      {
        'proc/self/cgroup': '0::/system.slice/linnet.service\n',
        'sys/fs/cgroup/system.slice/cpu.max': '350000 100000\n',
        'sys/fs/cgroup/system.slice/linnet.service/cpu.max': '600000 100000\n',
      },
      3,
    ],
    [
      'as many as the quota of the first version grants',
      {
        'proc/self/cgroup': '3:cpu,cpuacct:/docker/x\n1:name=systemd:/\n',
        'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '400000\n',
        'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      },
      4,
    ],
    [
      'all, where the first version says that there is no quota',
      {
        'proc/self/cgroup': '3:cpu:/\n',
        'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
        'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      },
      8,
    ],
  ])('are %s', (_, files, cores) => {
    expect(usableCores(8, system(files))).toBe(cores)
  })

  it('are never more than the processors that the process may run on', () => {
    const files = { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '800000 100000\n' }
    expect(usableCores(2, system(files))).toBe(2)
  })
})

describe('Threads of one run', () => {
  const profile = (threadsMax: number) => ({ limits: { ...PROFILE.limits, threadsMax } })

  it.each([
    [4, 2, 1, 2],
    [4, 8, 1, 4],
    [4, 8, 3, 2],
    [4, 2, 4, 1],
    [1, 1, 1, 1],
  ])('of a profile with %d, on %d cores with %d hosts, are %d', (allowed, cores, hosts, most) => {
    expect(capThreads(profile(allowed), cores, hosts).threadsMax).toBe(most)
  })

  it('say why they are fewer than the profile allows', () => {
    expect(capThreads(profile(4), 2, 1).reason).toBe(
      'the profile allows 4 threads; 2 usable cores for 1 model host leave 2',
    )
    expect(capThreads(profile(4), 4, 2).reason).toContain(
      '4 usable cores for 2 model hosts leave 2',
    )
    expect(capThreads(profile(4), 8, 2).reason).toBeUndefined()
  })
})
