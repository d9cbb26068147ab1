/** How many model hosts there should be, over loads that rise, fall, burst and starve. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type LoadSample,
  type ScalingLimits,
  type ScalingStep,
  scale,
  startScaling,
} from '../../../shared/balance/scaling.ts'

const LIMITS: ScalingLimits = { hostsMin: 1, hostsMax: 4 }
type Told = Exclude<ScalingStep, { kind: 'stay' }> & { atS: number }

/** Work in host-seconds per second, sampled every second; hosts follow the steps at once. */
function run(
  seconds: number,
  work: (atS: number) => number,
  more: { limits?: ScalingLimits; hosts?: number; sample?: (atS: number) => object } = {},
) {
  const { limits = LIMITS } = more
  let hosts = more.hosts ?? limits.hostsMin
  let state = startScaling(0)
  const told: Told[] = []
  const counts: number[] = []
  for (let atS = 1; atS <= seconds; atS++) {
    const utilisation = Math.min(1, work(atS) / hosts)
    const sample: LoadSample = {
      ...{ atMs: atS * 1_000, hosts, utilisation, queued: 0, freeMb: Infinity, hostMb: 100 },
      ...more.sample?.(atS),
    }
    const next = scale(state, sample, limits)
    state = next.state
    if (next.step.kind !== 'stay') {
      told.push({ ...next.step, atS })
      hosts = next.step.hosts
    }
    counts.push(hosts)
  }
  return { told, counts, hosts }
}

describe('The number of hosts', () => {
  it('grows while they are more than 70 % utilised, one at a time, and stays once they are not', () => {
    const { told, hosts } = run(240, () => 1.9)
    expect(hosts).toBe(3)
    expect(told.map(({ kind }) => kind)).toEqual(['up', 'up'])
    expect(told[1]!.atS - told[0]!.atS).toBeGreaterThanOrEqual(15)
    expect(told[0]!.reason).toMatch(/^1 to 2 hosts: utilisation \d+ % over 70 %$/)
  })

  it('grows for a line of more than 10 requests', () => {
    const { told } = run(20, () => 0.5, { sample: () => ({ queued: 11 }) })
    expect(told).toMatchObject([{ kind: 'up', hosts: 2 }])
    expect(told[0]!.reason).toBe('1 to 2 hosts: 11 requests in line, over 10')
    expect(run(20, () => 0.5, { sample: () => ({ queued: 10 }) }).told).toEqual([])
  })

  it('does not grow for one short burst', () => {
    expect(run(60, (atS) => (atS % 30 < 3 ? 1 : 0.1)).told).toEqual([])
  })

  it('shrinks after five minutes under 30 %, not before, and one at a time', () => {
    const { told, hosts } = run(700, () => 0.1, { hosts: 3 })
    expect(told.map(({ kind, hosts: to }) => [kind, to])).toEqual([
      ['down', 2],
      ['down', 1],
    ])
    expect(told[0]!.atS).toBeGreaterThanOrEqual(300)
    expect(told[1]!.atS - told[0]!.atS).toBeGreaterThanOrEqual(300)
    expect(told[0]!.reason).toBe('3 to 2 hosts: utilisation under 30 % for 5 minutes')
    expect(hosts).toBe(1)
  })

  it('starts the five minutes anew when work comes in between', () => {
    const busyAt = (atS: number): number => (atS >= 250 && atS < 270 ? 1.8 : 0.1)
    const { told } = run(500, busyAt, { hosts: 3, limits: { hostsMin: 1, hostsMax: 3 } })
    expect(told).toEqual([])
  })

  it('does not swing: a steady load settles on one number', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 5, noNaN: true }), (load) => {
        const { counts } = run(3_600, () => load)
        expect(new Set(counts.slice(1_800)).size).toBe(1)
      }),
      { numRuns: 30 },
    )
  })

  it('never leaves the limits, whatever is measured', () => {
    const loads = fc.array(fc.double({ min: 0, max: 9, noNaN: true }), {
      minLength: 1,
      maxLength: 60,
    })
    fc.assert(
      fc.property(loads, fc.nat(3), fc.nat(3), (load, least, more) => {
        const limits = { hostsMin: 1 + least, hostsMax: 1 + least + more }
        const at = (atS: number): number => load[Math.floor(atS / 20) % load.length]!
        const { counts } = run(600, at, { limits })
        expect(Math.min(...counts)).toBeGreaterThanOrEqual(limits.hostsMin)
        expect(Math.max(...counts)).toBeLessThanOrEqual(limits.hostsMax)
      }),
      { numRuns: 50 },
    )
  })

  it('does not grow past the memory there is, and says so once', () => {
    const starved = run(120, () => 2, { sample: () => ({ freeMb: 60, hostMb: 90 }) })
    expect(starved.hosts).toBe(1)
    expect(starved.told.map(({ kind }) => kind)).toEqual(['held'])
    expect(starved.told[0]!.reason).toContain('one more takes 90 MB of 60 MB free')
    const freed = run(120, () => 2, {
      sample: (atS) => ({ freeMb: atS < 60 ? 60 : 500, hostMb: 90 }),
    })
    expect(freed.told.map(({ kind }) => kind)).toEqual(['held', 'up', 'up'])
  })

  it('shrinks when the hosts take too much memory for longer than a swap does', () => {
    const over = (from: number, to: number) => (atS: number) => ({
      freeMb: atS >= from && atS < to ? -40 : 500,
    })
    expect(run(120, () => 1.5, { hosts: 3, sample: over(30, 40) }).told).toEqual([])
    const { told } = run(60, () => 1.5, { hosts: 3, sample: over(20, 99) })
    expect(told[0]).toMatchObject({ kind: 'down', hosts: 2, atS: 35 })
    expect(told[0]!.reason).toBe('3 to 2 hosts: 40 MB over the memory there is')
    expect(run(300, () => 0.5, { hosts: 1, sample: over(0, 999) }).told).toEqual([])
  })
})
