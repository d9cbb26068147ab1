/** What a disk refuses is told once, with what helps. */
import { describe, expect, it } from 'vitest'
import { createDiskWatch, diskProblem } from '../../agent/disk-watch.ts'
import { createEffectLane } from '../../agent/effect-lane.ts'
import type { Problem } from '../../shared/kernel/result.ts'
import { initialDeviceState } from '../../shared/update/state.ts'
import { settled, VirtualClock } from './memory-ports.ts'

const failure = (code: string) => Object.assign(new Error(`${code}: write`), { code })
const log = { info: () => undefined, warn: () => undefined, error: () => undefined }

describe('A disk that takes no writes', () => {
  it.each([
    ['ENOSPC', 'disk.full'],
    ['EDQUOT', 'disk.full'],
    ['EROFS', 'disk.read_only'],
    ['EACCES', 'disk.read_only'],
    ['EIO', 'disk.failed'],
    ['EMFILE', 'process.files'],
  ])('%s is %s, with a next step', (errno, code) => {
    expect(diskProblem(failure(errno))).toMatchObject({
      code,
      found: `${errno}: write`,
      next: expect.stringContaining('tries again by itself'),
    })
  })

  it('is not to blame for other failures', () => {
    expect(diskProblem(failure('ECONNRESET'))).toBeUndefined()
    expect(diskProblem(new Error('no code'))).toBeUndefined()
    expect(diskProblem(undefined)).toBeUndefined()
  })

  it('is told once while it lasts, and not again within ten minutes of the same', async () => {
    const clock = new VirtualClock()
    const told: Problem[] = []
    const watch = createDiskWatch({ clock, log }, (problem) => told.push(problem))
    for (let i = 0; i < 3; i++) expect(watch.failed(failure('ENOSPC'))).toBe(true)
    watch.wrote()
    watch.failed(failure('ENOSPC'))
    expect(told.map(({ code }) => code)).toEqual(['disk.full'])
    watch.failed(failure('EROFS'))
    expect(told.map(({ code }) => code)).toEqual(['disk.full', 'disk.read_only'])
    watch.wrote()
    await clock.advance(600_000)
    watch.failed(failure('EROFS'))
    expect(told).toHaveLength(3)
  })

  it('is tried again within three seconds, however long it lasted', async () => {
    const clock = new VirtualClock()
    let writes = 0
    let isFull = true
    const lane = createEffectLane(
      async () => {
        writes += 1
        if (isFull) throw failure('ENOSPC')
      },
      { clock, log, random: () => 1, disk: createDiskWatch({ clock, log }, () => undefined) },
    )
    lane.push([{ kind: 'persist', durable: initialDeviceState().durable }])
    await settled()
    for (let i = 0; i < 20; i++) await clock.advance(3_000)
    expect(writes).toBe(21)
    isFull = false
    await clock.advance(3_000)
    await lane.idle()
    lane.close()
  })
})
