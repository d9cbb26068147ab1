import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ArmCounts, NO_COUNTS } from '../../../shared/judge/arm-counts.ts'
import { reconcile } from '../../../shared/rollout/reconcile.ts'
import type { World, WorldDevice } from '../../../shared/rollout/world.ts'
import { reportFor } from '../../fixtures/controller-builder.ts'
import { buildRelease, PROFILES } from '../../fixtures/release-builders.ts'
import {
  buildFacts,
  buildSpec,
  promotedRollout,
  runningRollout,
  startMs,
} from '../../fixtures/rollout-builders.ts'

const key = (name: string): string => Buffer.from(name).toString('hex').padEnd(64, '0')

const buildDevice = (device: string, more: Partial<WorldDevice> = {}): WorldDevice => ({
  device,
  deviceKey: key(device),
  facts: buildFacts(),
  online: true,
  report: null,
  issued: null,
  ...more,
})

const releases = new Map(
  ['1.0.0', '1.1.0'].map((version) => [`motor@${version}`, buildRelease(version).manifest]),
)

const buildWorld = (more: Partial<World> = {}): World => ({
  fleet: 'plant',
  devices: ['d1', 'd2', 'd3', 'd4'].map((name) => buildDevice(name)),
  rollouts: [promotedRollout('1.0.0')],
  releases,
  profiles: PROFILES,
  evidence: new Map(),
  staleAfterMs: 60_000,
  issuing: {
    directorEpoch: 1,
    minSnapshot: 1,
    lifetimeMs: 1_000_000,
    windowMs: 10_000,
    issuesMax: 100,
  },
  ...more,
})

/** The world after the result was stored and every device did as it was told. */
function carriedOut(world: World, result: ReturnType<typeof reconcile>): World {
  const rollouts = world.rollouts.map(
    (rollout) => result.rollouts.find(({ id }) => id === rollout.id) ?? rollout,
  )
  const devices = world.devices.map((device) => {
    const issue = result.issues.find(({ assignment }) => assignment.device === device.device)
    if (issue === undefined) return device
    const { assignment, wantedDigest } = issue
    const { directorEpoch, generation, cohort, issuedAt, expiresAt } = assignment
    const times = { issuedAtMs: issuedAt, expiresAtMs: expiresAt }
    const issued = { directorEpoch, generation, cohort, wantedDigest, ...times }
    return { ...device, issued, report: device.online ? reportFor(assignment) : device.report }
  })
  return { ...world, rollouts, devices }
}

const countedBy = new Set(['d1', 'd2', 'd3', 'd4'])

const counts = (requests: number, errors = 0): ArmCounts => ({ ...NO_COUNTS, requests, errors })

describe('reconcile', () => {
  it('issues each device its assignment once', () => {
    const world = buildWorld()
    const first = reconcile(world, startMs)
    expect(first.issues.map(({ assignment }) => assignment.generation)).toEqual([1, 1, 1, 1])
    expect(first.issues[0]?.assignment.slots[0]?.target).toBe('motor/1.0.0/fp32.onnx')
    expect(reconcile(carriedOut(world, first), startMs + 1_000).issues).toEqual([])
  })

  it('issues again at half of the life, with a higher generation', () => {
    const world = carriedOut(buildWorld(), reconcile(buildWorld(), startMs))
    expect(reconcile(world, startMs + 499_999).issues).toEqual([])
    const renewed = reconcile(world, startMs + 500_000).issues
    expect(renewed.map(({ assignment }) => assignment.generation)).toEqual([2, 2, 2, 2])
  })

  it('issues no more in one pass than it may, and says that there is more', () => {
    const world = buildWorld()
    const issuing = { ...world.issuing!, issuesMax: 3 }
    const first = reconcile({ ...world, issuing }, startMs)
    expect([first.issues.length, first.more]).toEqual([3, true])
    const second = reconcile(carriedOut({ ...world, issuing }, first), startMs)
    expect([second.issues.length, second.more]).toEqual([1, false])
  })

  it('starts generations anew in a new epoch of the director', () => {
    const world = carriedOut(buildWorld(), reconcile(buildWorld(), startMs))
    const issuing = { ...world.issuing!, directorEpoch: 2 }
    const [issue] = reconcile({ ...world, issuing }, startMs + 1).issues
    expect([issue?.assignment.directorEpoch, issue?.assignment.generation]).toEqual([2, 1])
  })

  it('goes above a generation that the device follows and we never issued', () => {
    const world = carriedOut(buildWorld(), reconcile(buildWorld(), startMs))
    const [first, ...rest] = world.devices
    const ahead = { ...first!, report: { ...first!.report!, generation: 41 } }
    const { issues } = reconcile({ ...world, devices: [ahead, ...rest] }, startMs + 1)
    expect(issues.map(({ assignment }) => [assignment.device, assignment.generation])).toEqual([
      ['d1', 42],
    ])
  })

  it('does not follow a generation that only a broken or lying device can claim', () => {
    const world = carriedOut(buildWorld(), reconcile(buildWorld(), startMs))
    const [first, ...rest] = world.devices
    const report = { ...first!.report!, generation: Number.MAX_SAFE_INTEGER - 1 }
    const lying = { ...first!, report }
    expect(reconcile({ ...world, devices: [lying, ...rest] }, startMs + 1).issues).toEqual([])
  })

  it('assigns nothing before there is a root to sign under', () => {
    const { issues, desired } = reconcile(buildWorld({ issuing: null }), startMs)
    expect(issues).toEqual([])
    expect(desired.get('d1')).toHaveLength(1)
  })

  it('leaves a candidate out that suits no variant, and counts the device as failed', () => {
    const devices = [buildDevice('d1', { facts: buildFacts({ profile: 'unheard-of' }) })]
    const rollout = runningRollout({ wave: 1 })
    const world = buildWorld({ devices, rollouts: [promotedRollout('1.0.0'), rollout] })
    const { problems, rollouts } = reconcile(world, startMs)
    expect(problems.get('d1')?.map(({ code }) => code)).toEqual(['profile.unknown'])
    expect(rollouts[0]?.reason.sentence).toContain('profile.unknown')
  })

  it('counts what failed under this rollout only: a second one is a second try', () => {
    const failed = (device: WorldDevice): WorldDevice => {
      const problem = { code: 'artifact.digest', message: 'The bytes are others.' }
      const failures = [{ model: 'motor', version: '1.1.0', sha256: key('x'), problem }]
      const slots = device.report!.slots.filter(({ version }) => version !== '1.1.0')
      return { ...device, report: { ...device.report!, status: 'degraded', slots, failures } }
    }
    const before = carriedOut(buildWorld(), reconcile(buildWorld(), startMs - 1_000))
    const rollouts = [...before.rollouts, runningRollout({ wave: 1 })]
    const world = { ...before, rollouts, devices: before.devices.map(failed) }
    const asked = reconcile(world, startMs)
    expect([asked.rollouts[0]?.state, asked.issues.length]).toEqual(['running', 4])
    const tried = carriedOut(world, asked)
    const again = reconcile({ ...tried, devices: tried.devices.map(failed) }, startMs + 1_000)
    expect(again.rollouts[0]?.reason.code).toBe('install_failures')
  })

  it('keeps the merged counts that it decided on, with their digest', () => {
    const evidence = new Map([
      [
        'r1',
        {
          counts: [{ profile: 'raspberry-pi-5', baseline: counts(500), canary: counts(50, 10) }],
          newestAtMs: startMs,
          countedBy,
        },
      ],
    ])
    const rollouts = [promotedRollout('1.0.0'), runningRollout()]
    const world = carriedOut(buildWorld({ rollouts }), reconcile(buildWorld({ rollouts }), startMs))
    const { decisions, rollouts: changed } = reconcile({ ...world, evidence }, startMs + 1_000)
    expect(changed[0]?.state).toBe('rolling_back')
    expect(decisions[0]?.inputs[0]?.canary).toEqual(counts(50, 10))
    expect(decisions[0]?.inputsDigest).toMatch(/^[0-9a-f]{64}$/)
    const again = reconcile({ ...world, evidence }, startMs + 1_000)
    expect(JSON.stringify(again.decisions)).toBe(JSON.stringify(decisions))
  })

  it('keeps at most 8 kB of counts, and the digest of all', () => {
    const profiles = Array.from({ length: 60 }, (_, i) => ({
      profile: `profile-${i}`,
      baseline: counts(500),
      canary: counts(50, 20),
    }))
    const evidence = new Map([['r1', { counts: profiles, newestAtMs: startMs, countedBy }]])
    const world = buildWorld({ rollouts: [promotedRollout('1.0.0'), runningRollout()], evidence })
    const [decision] = reconcile(world, startMs).decisions
    expect(JSON.stringify(decision?.inputs).length).toBeLessThanOrEqual(8_192)
    expect(decision?.inputs.length).toBeGreaterThan(10)
  })

  it('does not promote on evidence that is too old', () => {
    const evidence = new Map([
      [
        'r1',
        {
          counts: [{ profile: 'raspberry-pi-5', baseline: counts(5_000), canary: counts(5_000) }],
          newestAtMs: startMs,
          countedBy,
        },
      ],
    ])
    const rollouts = [promotedRollout('1.0.0'), runningRollout()]
    const world = carriedOut(buildWorld({ rollouts }), reconcile(buildWorld({ rollouts }), startMs))
    const fresh = reconcile({ ...world, evidence }, startMs + 59_000).rollouts[0]
    expect(fresh?.wave).toBe(1)
    const stale = reconcile({ ...world, evidence }, startMs + 61_000).rollouts[0]
    expect([stale?.wave, stale?.verdict?.decision]).toEqual([0, 'hold'])
  })

  it('changes nothing when it is called again after its result was carried out', () => {
    const anyDevices = fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,6}$/), { maxLength: 12 })
    const anyCounts = fc.record({ requests: fc.nat(2_000), errors: fc.nat(20) })
    fc.assert(
      fc.property(anyDevices, fc.nat(1), anyCounts, (names, wave, { requests, errors }) => {
        const profile = { profile: 'raspberry-pi-5', baseline: counts(requests + 20) }
        const canary = counts(requests + 20, errors)
        const newestAtMs = startMs
        const evidence = new Map([
          ['r1', { counts: [{ ...profile, canary }], newestAtMs, countedBy: new Set(names) }],
        ])
        let world = buildWorld({
          devices: names.map((name, i) => buildDevice(name, { online: i % 3 !== 0 })),
          rollouts: [promotedRollout('1.0.0'), runningRollout({ wave, spec: buildSpec() })],
          evidence,
        })
        // Each pass may finish what the one before began; the evidence of a wave is its own.
        for (let pass = 0; pass < 6; pass++) {
          const before = world.rollouts.find(({ id }) => id === 'r1')?.wave
          world = carriedOut(world, reconcile(world, startMs))
          const after = world.rollouts.find(({ id }) => id === 'r1')?.wave
          if (before !== after) world = { ...world, evidence: new Map() }
        }
        const settled = reconcile(world, startMs)
        expect(settled.rollouts).toEqual([])
        expect(settled.issues).toEqual([])
        expect(settled.decisions).toEqual([])
      }),
      { numRuns: 60 },
    )
  })
})
