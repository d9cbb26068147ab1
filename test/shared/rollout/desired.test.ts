import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  cohortOf,
  type DesiredDevice,
  desiredState,
  inCohort,
  isReached,
  settledVersion,
  supersededBy,
} from '../../../shared/rollout/desired.ts'
import type { Rollout } from '../../../shared/rollout/state.ts'
import {
  buildFacts,
  buildSpec,
  promotedRollout,
  runningRollout,
  startMs,
} from '../../fixtures/rollout-builders.ts'

const fleet = (names: readonly string[]): DesiredDevice[] =>
  names.map((device) => ({ device, facts: buildFacts() }))
const names = fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,8}$/), { minLength: 1, maxLength: 60 })

const wavesOf = (percents: readonly number[]): Rollout =>
  runningRollout({
    spec: buildSpec({
      waves: percents.map((percent) => ({ ...buildSpec().waves[0]!, percent })),
    }),
  })

const versionsOf = (rollouts: readonly Rollout[], devices: readonly DesiredDevice[]) =>
  Object.fromEntries(
    [...desiredState(devices, rollouts)].map(([device, models]) => [
      device,
      models.map(({ current, candidate }) => [current, candidate]),
    ]),
  )

describe('cohorts', () => {
  const rollout = wavesOf([1, 10, 50, 100])

  it('are the same whatever the order in which devices came', () => {
    fc.assert(
      fc.property(names, (devices) => {
        const forwards = cohortOf(rollout, 1, devices)
        expect(cohortOf(rollout, 1, devices.toReversed())).toEqual(forwards)
      }),
    )
  })

  it('grow from wave to wave and never give a device up', () => {
    fc.assert(
      fc.property(names, (devices) => {
        const cohorts = [0, 1, 2, 3].map((wave) => cohortOf(rollout, wave, devices))
        for (const [wave, cohort] of cohorts.slice(0, 3).entries()) {
          expect([...cohort].every((device) => cohorts[wave + 1]?.has(device))).toBe(true)
        }
        expect(cohorts[3]?.size).toBe(devices.length)
      }),
    )
  })

  it('do not move a device because another one joins', () => {
    fc.assert(
      fc.property(names, fc.stringMatching(/^[a-z0-9]{9,12}$/), (devices, late) => {
        const before = devices.filter((device) => inCohort(rollout, 2, device))
        // With nobody in the share the first device stands in for it: the stated exception.
        fc.pre(before.length > 0)
        const after = cohortOf(rollout, 2, [...devices, late])
        expect(devices.filter((device) => after.has(device))).toEqual(before)
      }),
    )
  })

  it('hold one device even when the share is too small for any', () => {
    const few = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    expect(cohortOf(wavesOf([0.001]), 0, few).size).toBe(1)
    expect(cohortOf(wavesOf([0.001]), 0, []).size).toBe(0)
  })

  it('are the same asked for one device as for all', () => {
    fc.assert(
      fc.property(names, fc.nat(3), (devices, wave) => {
        const cohort = cohortOf(rollout, wave, devices)
        const reached = devices.filter((device) => isReached(rollout, wave, device, devices))
        expect(reached).toEqual(devices.filter((device) => cohort.has(device)))
      }),
    )
  })

  it('hold about their share of many devices', () => {
    const many = Array.from({ length: 5_000 }, (_, i) => `device-${i}`)
    // Five standard deviations of a binomial: sqrt(5000 * 0.1 * 0.9) = 21.
    expect(Math.abs(cohortOf(rollout, 1, many).size - 500)).toBeLessThan(106)
  })
})

describe('desired state', () => {
  const devices = fleet(['d1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7', 'd8'])
  const settled = promotedRollout('1.0.0')

  it('gives the cohort both releases with the share of the wave, the others the settled one', () => {
    const rollout = runningRollout()
    const cohort = cohortOf(
      rollout,
      0,
      devices.map(({ device }) => device),
    )
    const wanted = desiredState(devices, [settled, rollout])
    for (const { device } of devices) {
      const [model] = wanted.get(device) ?? []
      if (cohort.has(device)) {
        expect(model).toMatchObject({ current: '1.0.0', candidate: '1.1.0', trafficShare: 100_000 })
        expect(model?.rollout).toEqual({ id: 'r1', wave: 0 })
      } else {
        expect(model).toMatchObject({ current: '1.0.0', candidate: null, rollout: null })
      }
    }
  })

  it('is the same while a rollout is paused', () => {
    const running = desiredState(devices, [settled, runningRollout()])
    const paused = desiredState(devices, [settled, runningRollout({ state: 'paused' })])
    expect(paused).toEqual(running)
  })

  it('is the baseline again for every device once a rollout goes back or is aborted', () => {
    const before = versionsOf([settled], devices)
    for (const state of ['rolling_back', 'rolled_back', 'aborted'] as const) {
      expect(versionsOf([settled, runningRollout({ state, wave: 1 })], devices)).toEqual(before)
    }
  })

  it('is the baseline that the rollout named where nothing was ever promoted', () => {
    const gone = runningRollout({ state: 'rolled_back' })
    expect(settledVersion('motor', buildFacts(), [gone])).toBe('1.0.0')
  })

  it('is the candidate alone once promoted, also for who joins later', () => {
    const promoted = promotedRollout('1.1.0', { id: 'r2', endedAtMs: startMs })
    const wanted = versionsOf([settled, promoted], [...devices, ...fleet(['late'])])
    expect(wanted.late).toEqual([['1.1.0', null]])
    expect(wanted.d1).toEqual([['1.1.0', null]])
  })

  it('goes back to what was promoted before when a promoted rollout is rolled back', () => {
    const undone = promotedRollout('1.1.0', { state: 'rolled_back', endedAtMs: startMs })
    expect(versionsOf([settled, undone], devices).d1).toEqual([['1.0.0', null]])
  })

  it('leaves devices alone that the rollout does not target', () => {
    const spec = buildSpec({ targets: { profiles: ['intel-n100'] } })
    const rollout = runningRollout({ spec, wave: 1 })
    expect(versionsOf([settled, rollout], devices).d1).toEqual([['1.0.0', null]])
    expect(versionsOf([rollout], devices).d1).toEqual([])
  })

  it('gives a first release all requests, since there is nothing to compare with', () => {
    const spec = buildSpec({ baseline: null })
    const wanted = desiredState(devices, [runningRollout({ spec, wave: 1 })])
    expect(wanted.get('d1')).toEqual([
      {
        model: 'motor',
        current: '1.1.0',
        candidate: null,
        trafficShare: 0,
        shadow: 0,
        rollout: { id: 'r1', wave: 1 },
      },
    ])
  })
})

describe('a promotion', () => {
  const first = promotedRollout('1.0.0')
  const later = (targets: Rollout['spec']['targets']) =>
    promotedRollout('1.1.0', {
      endedAtMs: startMs,
      spec: buildSpec({ candidate: '1.1.0', targets }),
    })

  it('is superseded once later ones have taken all its devices, not before', () => {
    const devices = [
      { device: 'a', facts: buildFacts() },
      { device: 'b', facts: buildFacts({ profile: 'intel-n100' }) },
    ]
    const all = later({})
    const some = later({ profiles: ['intel-n100'] })
    expect(supersededBy(first, devices, [first, all])).toBe(all)
    expect(supersededBy(first, devices, [first, some])).toBeUndefined()
    expect(supersededBy(all, devices, [first, all])).toBeUndefined()
  })
})
