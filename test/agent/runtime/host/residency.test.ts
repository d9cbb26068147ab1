/** Sessions that come and go: loads, releases and refusals, with sessions that only count. */
import { beforeEach, describe, expect, it } from 'vitest'
import type { ServedRelease } from '../../../../agent/ports.ts'
import type { HostModel, HostRelease } from '../../../../agent/runtime/host/host-protocol.ts'
import { Residency, type ResidencyOptions } from '../../../../agent/runtime/host/residency.ts'
import type { LiveRelease } from '../../../../agent/runtime/plane/live-release.ts'
import { buildLive, buildPlane, SCORES } from '../plane-builder.ts'

const MIB = 2 ** 20
/** What loads take by model, in MiB; all have files of 1 byte. */
const SIZES: Record<string, number> = { a: 10, b: 10, c: 10, huge: 50 }

let nowMs: number
let resident: number
let loads: string[]
let changes: string[]
let beforeLoad: (model: string) => Promise<void>

beforeEach(() => {
  nowMs = 1_000
  resident = 100 * MIB
  loads = []
  changes = []
  beforeLoad = async () => undefined
})

const { manifest, variant } = buildLive(() => SCORES(0.5, 0.5))

function release(model: string): HostRelease {
  const ref = { model, version: '1.0.0', variant: 'fp32', target: '', sha256: model, length: 1 }
  const resolved: ServedRelease['resolved'] = {
    release: ref,
    manifest: { ...manifest, model },
    variant,
  }
  return { resolved, provider: 'cpu', modelPath: '', goldenPath: null } as HostRelease
}

function build(more: Partial<ResidencyOptions> = {}): Residency {
  return new Residency({
    ...{ bytesMax: 25 * MIB, idleMs: null, nowMs: () => nowMs },
    residentBytes: () => resident,
    load: async ({ resolved: { release: ref } }) => {
      await beforeLoad(ref.model)
      loads.push(ref.model)
      const bytes = (SIZES[ref.model] ?? 1) * MIB
      resident += bytes
      nowMs += 100
      return {
        ...{ inputs: [], outputs: [] },
        run: async () => SCORES(0, 1),
        release: async () => {
          resident -= bytes
        },
      }
    },
    onLoading: () => undefined,
    onChange: ({ model, change, reason }) => changes.push(`${model} ${change}: ${reason}`),
    ...more,
  })
}

const plan = (...models: Partial<HostModel>[]) => ({
  models: models.map((model) => ({
    ...{ model: '', current: null, candidate: null, previous: null, rollout: null },
    ...{ trafficShare: 0, shadow: 0, ...model },
  })),
})
const awake = (residency: Residency): string[] =>
  residency.rows().flatMap(({ model, isAwake }) => (isAwake ? [model] : []))
/** As the plane does: in use, awake, computed, out of use. */
async function use(live: LiveRelease, leftMs = 5_000): Promise<string> {
  live.residence?.enter()
  const woken = await live.residence?.wake(nowMs + leftMs)
  if (woken?.ok !== false) await live.session.run([])
  live.residence?.leave()
  return woken?.ok === false ? woken.error.code : 'answered'
}

describe('A memory budget', () => {
  it('makes the least recently used go, and brings it back when it is asked', async () => {
    const residency = build()
    const a = await residency.admit(release('a'))
    const b = await residency.admit(release('b'))
    nowMs += 1
    await use(a)
    await residency.admit(release('c'))
    expect(awake(residency)).toEqual(['a', 'c'])
    expect(await use(b)).toBe('answered')
    expect(awake(residency)).toEqual(['b', 'c'])
    expect(changes).toEqual([
      'b released: room for c@1.0.0',
      'a released: room for b@1.0.0',
      'b reloaded: asked; took 100 ms',
    ])
    expect(resident).toBe(120 * MIB)
    expect(residency.rows().find(({ model }) => model === 'b')).toMatchObject({
      ...{ bytes: 10 * MIB, loads: 2, releases: { room: 1, idle: 0 } },
    })
  })

  it('loads once, however many wait', async () => {
    const residency = build()
    const [a] = [await residency.admit(release('a')), await residency.admit(release('b'))]
    await residency.admit(release('c'))
    loads = []
    expect(await Promise.all(Array.from({ length: 50 }, () => use(a)))).toEqual(
      Array(50).fill('answered'),
    )
    expect(loads).toEqual(['a'])
  })

  it('never takes what is in use, nor an arm of a rollout', async () => {
    const residency = build()
    const a = await residency.admit(release('a'))
    await residency.admit(release('b'))
    a.residence?.enter()
    await residency.admit(release('c'))
    expect(awake(residency)).toEqual(['a', 'c'])
    residency.expect(plan({ current: release('c'), candidate: release('x') }))
    a.residence?.leave()
    nowMs += 1
    await residency.admit(release('b'))
    expect(awake(residency)).toEqual(['c', 'b'])
  })

  it('waits for a model in use, and says so when it stays in use', async () => {
    const residency = build()
    const a = await residency.admit(release('a'))
    const b = await residency.admit(release('b'))
    for (const live of [a, b]) live.residence?.enter()
    const coming = residency.admit(release('c'))
    setTimeout(() => b.residence?.leave(), 30)
    await coming
    expect(awake(residency)).toEqual(['a', 'c'])
    residency.expect(plan({ current: release('c'), candidate: release('x') }))
    nowMs += 1
    setTimeout(() => {
      nowMs += 2_000
    }, 30)
    await expect(residency.admit(release('b'))).rejects.toMatchObject({
      problem: {
        code: 'placement.no_room',
        found: '20.0 MiB in use by 2 models',
      },
    })
  })

  it('makes room before a load, where the proof of the release tells its size', async () => {
    const residency = build()
    await residency.admit(release('a'))
    await residency.admit(release('b'))
    let residentAtLoad = 0
    beforeLoad = async () => {
      residentAtLoad = resident
    }
    await residency.admit({ ...release('c'), sessionMb: 12 })
    expect(residentAtLoad).toBe(110 * MIB)
    // The proof was made with nothing else in the process: what is seen here says less.
    expect(residency.rows().find(({ model }) => model === 'c')?.bytes).toBe(12 * MIB)
    await expect(residency.admit({ ...release('c'), sessionMb: 26 })).rejects.toMatchObject({
      problem: { code: 'placement.too_large', found: '26.0 MiB' },
    })
  })

  it('shrinks when the host shares the memory with another', async () => {
    const residency = build()
    await residency.admit(release('a'))
    const b = await residency.admit(release('b'))
    residency.bound(15 * MIB)
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(awake(residency)).toEqual(['b'])
    expect(changes).toEqual(['a released: less memory for this host'])
    residency.bound(25 * MIB)
    expect(await use(b)).toBe('answered')
    expect(residency.bytesMax()).toBe(25 * MIB)
  })

  it('takes first what is kept for a rollback', async () => {
    const residency = build()
    await residency.admit(release('a'))
    const b = await residency.admit(release('b'))
    await use(b)
    residency.expect(plan({ current: release('a'), previous: release('b') }))
    await residency.admit(release('c'))
    expect(awake(residency)).toEqual(['a', 'c'])
  })

  it('takes nothing for the size of a model that was seen while requests ran', async () => {
    const residency = build()
    const a = await residency.admit(release('a'))
    const [b] = [await residency.admit(release('b')), await residency.admit(release('c'))]
    nowMs += 1
    await use(b)
    // The memory that requests for other models take meanwhile is more than the whole budget.
    beforeLoad = async () => {
      await use(b)
      resident += 30 * MIB
    }
    expect(await use(a)).toBe('answered')
    expect(residency.rows().find(({ model }) => model === 'a')?.bytes).toBe(10 * MIB)
    // Nor is it ever too large for that, when nothing else is known of it.
    await residency.admit(release('d'))
    expect(residency.rows().find(({ model }) => model === 'd')?.bytes).toBe(25 * MIB)
  })

  it('keeps the least that loads of a model took, so that none is barred by a bad moment', async () => {
    const residency = build({ idleMs: 1 })
    const a = await residency.admit(release('a'))
    const reload = async () => {
      nowMs += 10
      await residency.sleepIdle()
      return use(a)
    }
    beforeLoad = async () => {
      resident += 30 * MIB
    }
    expect([await reload(), await reload()]).toEqual(['answered', 'answered'])
    expect(residency.rows()[0]).toMatchObject({ bytes: 10 * MIB, loads: 3 })
  })

  it('refuses what does not fit by itself: loaded once, released, then not even loaded', async () => {
    const residency = build()
    const tooLarge = {
      problem: {
        ...{ code: 'placement.too_large', expected: 'at most 25.0 MiB', found: '50.0 MiB' },
      },
    }
    await expect(residency.admit(release('huge'))).rejects.toMatchObject(tooLarge)
    expect(resident).toBe(100 * MIB)
    expect(residency.rows()).toEqual([])
  })
})

describe('A request for a model that is not in memory', () => {
  async function asleep(residency: Residency): Promise<LiveRelease> {
    const a = await residency.admit(release('a'))
    await residency.admit(release('b'))
    await residency.admit(release('c'))
    expect(awake(residency)).not.toContain('a')
    return a
  }

  it('is told to come again where loading takes longer than it waits; the load goes on', async () => {
    const residency = build()
    const a = await asleep(residency)
    expect(await use(a, 50)).toBe('infer.not_ready')
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(awake(residency)).toContain('a')
    expect(await use(a, 50)).toBe('answered')
  })

  it('is told so too when loading fails, and the next one tries again', async () => {
    const residency = build()
    const a = await asleep(residency)
    beforeLoad = () => Promise.reject(new Error('the disk is gone'))
    expect(await use(a)).toBe('infer.not_ready')
    expect(changes.at(-1)).toBe('a not reloaded: the disk is gone')
    beforeLoad = async () => undefined
    expect(await use(a)).toBe('answered')
  })

  it('leaves nothing behind when its release is given up meanwhile', async () => {
    const residency = build()
    const a = await asleep(residency)
    const before = resident
    beforeLoad = () => a.session.release()
    await a.residence?.wake(Infinity)
    // Another one made room for it; its own bytes are free again.
    expect(resident).toBe(before - 10 * MIB)
    expect(residency.rows().map(({ model }) => model)).toEqual(['b', 'c'])
  })

  it('is answered by the plane as if nothing had happened, and counted', async () => {
    const residency = build()
    const live = await asleep(residency)
    const plane = buildPlane()
    plane.put(live)
    const x = { name: 'x', datatype: 'FP32' as const, shape: [1, 2], data: Float32Array.of(1, 2) }
    const request = { model: 'tiny', inputs: [x], arrivedAtMs: plane.nowMs() }
    const answered = await plane.infer({ ...request, deadlineMs: 1e9 }, (answer) => ({
      ok: true,
      value: answer.version,
    }))
    expect(answered).toEqual({ ok: true, value: '1.0.0' })
    expect(plane.statistics()[0]).toMatchObject({ answered: 1 })
  })
})

describe('Idle models', () => {
  it('leave the memory after a while, if that is wanted', async () => {
    const residency = build({ idleMs: 60_000 })
    const a = await residency.admit(release('a'))
    nowMs += 59_000
    await residency.sleepIdle()
    expect(awake(residency)).toEqual(['a'])
    nowMs += 1_000
    await residency.sleepIdle()
    expect(awake(residency)).toEqual([])
    expect(changes).toEqual(['a released: idle for 60 s'])
    expect(resident).toBe(100 * MIB)
    expect(await use(a)).toBe('answered')
  })

  it('stay for ever otherwise', async () => {
    const residency = build()
    await residency.admit(release('a'))
    nowMs += 1e9
    await residency.sleepIdle()
    expect(awake(residency)).toEqual(['a'])
  })
})
