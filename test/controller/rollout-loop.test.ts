import { describe, expect, it } from 'vitest'
import {
  decisionResourceSchema,
  deviceResourceSchema,
  healthResourceSchema,
  releaseResourceSchema,
  rolloutResourceSchema,
} from '../../shared/api/resources.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { aggregateSchema } from '../../shared/protocol/consumer-messages.ts'
import { PRESETS, type RolloutSpec } from '../../shared/rollout/spec.ts'
import { attentionOf } from '../../shared/view/attention.ts'
import { deviceDetail } from '../../shared/view/device-view.ts'
import {
  ada,
  buildFleet,
  reportFor,
  type TestDevice,
  type TestFleet,
} from '../fixtures/controller-builder.ts'
import { buildRelease } from '../fixtures/release-builders.ts'
import { buildSpec } from '../fixtures/rollout-builders.ts'

const first: RolloutSpec = buildSpec({
  candidate: '1.0.0',
  baseline: null,
  waves: [{ percent: 100, trafficPercent: 100, shadowPercent: 0, minSeconds: 0, maxSeconds: 600 }],
})

/** Four devices that all serve 1.0.0, with 1.1.0 published. */
async function fleetOnFirstRelease(): Promise<{ fleet: TestFleet; devices: TestDevice[] }> {
  const fleet = await buildFleet()
  await fleet.publish([buildRelease('1.0.0'), buildRelease('1.1.0')], 1)
  const devices: TestDevice[] = []
  for (const name of ['d1', 'd2', 'd3', 'd4']) devices.push(await fleet.enrol(name))
  for (const device of devices) device.online()
  const { application } = fleet.controller
  const { id } = unwrap(await application.createRollout(first, ada))
  unwrap(await application.commandRollout(id, 'start', { full: false, note: '' }, ada))
  await fleet.after(1_000)
  for (const device of devices) {
    device.obey()
    device.count({ '1.0.0': [300, 0] })
  }
  await fleet.after(1_000)
  expect(unwrap(await application.getRollout(id, ada)).state).toBe('promoted')
  await fleet.after(1_000)
  for (const device of devices) device.obey()
  await fleet.after(1_000)
  return { fleet, devices }
}

async function startSecond(fleet: TestFleet, spec = buildSpec()): Promise<string> {
  const { application } = fleet.controller
  const { id } = unwrap(await application.createRollout(spec, ada))
  unwrap(await application.commandRollout(id, 'start', { full: false, note: '' }, ada))
  await fleet.after(1_000)
  return id
}

const underRollout = (devices: readonly TestDevice[], id: string): TestDevice[] =>
  devices.filter((device) => device.assignment()?.rollout.some(({ ref }) => ref.id === id))

describe('a rollout, from the targets to the devices and back', () => {
  it('promotes a first release once its wave has served without a fault', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const [resource] = await fleet.controller.application.listRollouts(ada)
    expect(resource?.reason.code).toBe('promoted')
    expect(resource?.totals).toEqual({ canaryRequests: 1_200, canaryBad: 0 })
    const whole = unwrap(await fleet.controller.application.getRollout('r1', ada))
    expect([resource?.devices.length, whole.devices.length]).toEqual([0, 4])
    const ofOther = await fleet.controller.application.listRollouts(ada, 'another')
    expect(ofOther).toEqual([])
    for (const device of devices) {
      expect(device.assignment()?.slots.map(({ target }) => target)).toEqual([
        'motor/1.0.0/fp32.onnx',
      ])
    }
    const { application } = fleet.controller
    const shown = await application.listDevices()
    expect(shown.map(({ converged }) => converged)).toEqual([true, true, true, true])
  })

  it('advances wave by wave on evidence and leaves one generation per change', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const id = await startSecond(fleet)
    const cohort = underRollout(devices, id)
    expect(cohort.length).toBeGreaterThan(0)
    expect(cohort.length).toBeLessThan(4)
    for (const device of cohort) {
      const { slots } = device.obey()
      expect(slots.map(({ slot, trafficShare }) => [slot, trafficShare])).toEqual([
        ['current', 0],
        ['candidate', 100_000],
      ])
      device.count({ '1.0.0': [900, 1], '1.1.0': [600, 1] })
    }
    await fleet.after(1_000)
    const { application } = fleet.controller
    expect(unwrap(await application.getRollout(id, ada)).wave).toBe(1)
    await fleet.after(1_000)
    expect(underRollout(devices, id)).toHaveLength(4)
    for (const device of devices) {
      device.obey()
      device.count({ '1.0.0': [400, 1], '1.1.0': [400, 1] })
    }
    await fleet.after(1_000)
    expect(unwrap(await application.getRollout(id, ada)).state).toBe('promoted')
    const decisions = await application.decisions(id)
    expect(decisions.map(({ action }) => action)).toEqual(['promote', 'promote', 'start'])
    expect(decisions[0]?.inputs[0]?.canary.requests).toBe(1_600)
    expect(decisions[0]?.inputsDigest).toMatch(/^[0-9a-f]{64}$/)
    expect((await application.listReleases('motor')).map(({ stage }) => stage)).toEqual([
      'production',
      'production',
    ])
  })

  it('rolls back on errors, gives every device the baseline again, and tells consumers', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const id = await startSecond(fleet)
    const cohort = underRollout(devices, id)
    for (const device of cohort) {
      device.obey()
      device.count({ '1.0.0': [180, 0], '1.1.0': [40, 10] })
    }
    await fleet.after(1_000)
    const { application } = fleet.controller
    const rolling = unwrap(await application.getRollout(id, ada))
    expect(rolling.state).toBe('rolling_back')
    expect(rolling.reason.sentence).toContain(
      `${10 * cohort.length} of ${40 * cohort.length} canary`,
    )
    await fleet.after(1_000)
    for (const device of cohort) expect(device.obey().rollout).toEqual([])
    await fleet.after(1_000)
    const done = unwrap(await application.getRollout(id, ada))
    expect(done.state).toBe('rolled_back')
    expect(done.totals).toEqual({
      canaryRequests: 40 * cohort.length,
      canaryBad: 10 * cohort.length,
    })
    const alerts = fleet.broker.published.filter(({ topic }) => topic.endsWith('/c/alert/critical'))
    expect(alerts).toHaveLength(1)
  })

  it('answers with the resources that the interface promises', async () => {
    const { fleet } = await fleetOnFirstRelease()
    await startSecond(fleet)
    const { application } = fleet.controller
    for (const rollout of await application.listRollouts(ada)) {
      expect(() => rolloutResourceSchema.parse(rollout)).not.toThrow()
      for (const decision of await application.decisions(rollout.id)) {
        expect(() => decisionResourceSchema.parse(decision)).not.toThrow()
      }
    }
    for (const device of await application.listDevices()) {
      expect(() => deviceResourceSchema.parse(device)).not.toThrow()
    }
    for (const release of await application.listReleases()) {
      expect(() => releaseResourceSchema.parse(release)).not.toThrow()
    }
    expect(healthResourceSchema.parse(await application.health())).toMatchObject({
      status: 'ok',
      devices: { enrolled: 4, online: 4 },
      rootVersion: 1,
    })
  })

  it('tells consumers each minute what was counted', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    await fleet.after(80_000)
    const topic = 'ln1/plant/c/aggregate/motor/1.0.0/raspberry-pi-5'
    const aggregate = JSON.parse(String(fleet.broker.retained.get(topic)?.payload))
    expect(aggregateSchema.parse(aggregate)).toMatchObject({
      requests: 300 * devices.length,
      windows: devices.length,
      errors: 0,
    })
    expect(aggregate.latencyMsP50).toBeGreaterThan(4.9)
  })

  it('publishes to a new broker what the database says after a restart', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const id = await startSecond(fleet)
    const before = devices.map((device) => device.assignment())
    const again = await fleet.restart()
    await again.controller.start()
    await again.controller.tick()
    const topics = [...again.broker.retained.keys()]
    expect(topics.filter((topic) => topic.endsWith('/dn/desired'))).toHaveLength(4)
    for (const [topic, { payload }] of again.broker.retained) {
      if (!topic.endsWith('/dn/desired') || typeof payload !== 'string') continue
      expect(before).toContainEqual(JSON.parse(payload).signed)
    }
    expect(unwrap(await again.controller.application.getRollout(id, ada)).state).toBe('running')
  })

  it('gives a device that failed to install it the baseline alone', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const id = await startSecond(fleet)
    for (const device of underRollout(devices, id)) device.obey(['1.1.0'])
    await fleet.after(1_000)
    await fleet.after(1_000)
    for (const device of devices) {
      expect(device.assignment()?.slots.map(({ target }) => target)).toEqual([
        'motor/1.0.0/fp32.onnx',
      ])
    }
    const { state, reason } = unwrap(await fleet.controller.application.getRollout(id, ada))
    expect([state, reason.code]).toEqual(['rolled_back', 'install_failures'])
    expect(reason.sentence).toContain('golden.mismatch')
  })
})

describe('a device that no variant suits', () => {
  it('is seen, counts as failed, and does not keep the others waiting', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const { application } = fleet.controller
    const { variants } = buildRelease('1.2.0').manifest
    const meant = variants.map((variant) => ({ ...variant, profiles: ['raspberry-pi-5'] }))
    const known = ['1.0.0', '1.1.0'].map((version) => buildRelease(version))
    await fleet.publish([...known, buildRelease('1.2.0', { variants: meant })], 2)
    const odd = await fleet.enrol('d9', { profile: 'intel-n100' })
    odd.online()
    await fleet.after(1_000)
    odd.obey()
    const [, last] = buildSpec().waves
    const id = await startSecond(fleet, buildSpec({ candidate: '1.2.0', waves: [last!] }))
    const shown = unwrap(await application.getDevice('d9'))
    expect(shown.unfit?.map(({ code }) => code)).toEqual(['variant.none_fits'])
    expect(deviceResourceSchema.parse(shown).unfit).toHaveLength(1)
    const detail = deviceDetail(shown, fleet.clock.nowMs())
    expect(detail.line.status.word).toBe('does not fit')
    expect(detail.failures.rows[0]).toEqual([
      'not assigned',
      'variant.none_fits',
      'No variant of motor@1.2.0 suits intel-n100. fp32: meant for raspberry-pi-5',
    ])
    const all = { devices: await application.listDevices(), rollouts: [], health: null }
    expect(attentionOf(all, 0).map(({ subject, cli }) => [subject, cli])).toContainEqual([
      'd9',
      'linnet device show d9',
    ])
    const cells = unwrap(await application.getRollout(id, ada)).devices
    expect(cells.find(({ device }) => device === 'd9')).toMatchObject({
      candidate: 'failed',
      failureCode: 'variant.none_fits',
    })
    for (const device of devices) {
      device.obey()
      device.count({ '1.0.0': [400, 0], '1.2.0': [400, 0] })
    }
    await fleet.after(1_000)
    expect(unwrap(await application.getRollout(id, ada)).state).toBe('promoted')
  })
})

describe('a device whose local guard stopped the candidate', () => {
  it('rolls it back when nobody else of its profile can tell', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const only = await fleet.enrol('d9', { profile: 'intel-n100' })
    only.online()
    await fleet.after(1_000)
    only.obey()
    const [, last] = buildSpec().waves
    const id = await startSecond(fleet, buildSpec({ waves: [last!] }))
    for (const device of devices) {
      device.obey()
      device.count({ '1.0.0': [400, 0], '1.1.0': [400, 0] })
    }
    const assignment = only.obey()
    only.count({ '1.0.0': [10, 0], '1.1.0': [3, 0] })
    await fleet.after(1_000)
    const before = unwrap(await fleet.controller.application.getRollout(id, ada))
    expect([before.state, before.verdict?.sentence]).toEqual([
      'running',
      expect.stringMatching(/^intel-n100: .* about 146 more requests needed\.$/),
    ])
    const report = reportFor(assignment, ['1.1.0'])
    const problem = { code: 'guard.latency', message: 'It answers too late.' }
    const failures = report.failures.map((failure) => ({ ...failure, problem }))
    const stamp = { boot: only.boot, seq: only.nextSeq(), atMs: fleet.clock.nowMs() }
    only.say('report', { ...stamp, report: { ...report, failures }, qualifications: [] })
    await fleet.after(1_000)
    const { state, reason } = unwrap(await fleet.controller.application.getRollout(id, ada))
    expect([state, reason.sentence]).toEqual([
      'rolling_back',
      'The only device of intel-n100 took it out of service by local guard (guard.latency).',
    ])
  })
})

describe('a rollout that shadows first', () => {
  const spec = buildSpec({ waves: [...PRESETS['shadow-first']] })
  const shown = async (fleet: TestFleet, id: string) =>
    unwrap(await fleet.controller.application.getRollout(id, ada))

  it('is promoted: comparisons decide the first wave, requests the others', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const id = await startSecond(fleet, spec)
    for (const device of underRollout(devices, id)) {
      const candidate = device.obey().slots.find(({ slot }) => slot === 'candidate')
      expect([candidate?.trafficShare, candidate?.shadow]).toEqual([0, 1_000_000])
      device.count({ '1.0.0': [900, 0], '1.1.0': [0, 0] }, [150, 6])
    }
    await fleet.after(1_000)
    const waiting = await shown(fleet, id)
    expect([waiting.wave, waiting.verdict?.decision]).toEqual([0, 'hold'])
    expect(waiting.reason.sentence).toContain(
      '6 of 150 shadow runs gave another class (4.0 %) than the serving release; ' +
        'the limit is 20.0 %: undecided, about 50 more comparisons needed.',
    )
    for (const device of underRollout(devices, id)) {
      device.count({ '1.0.0': [900, 0], '1.1.0': [0, 0] }, [150, 6])
    }
    await fleet.after(1_000)
    expect(await shown(fleet, id)).toMatchObject({ state: 'running', wave: 1 })
    const [passed] = await fleet.controller.application.decisions(id)
    expect(passed?.reason.sentence).toBe(
      'Wave 1 passed: 12 of 300 shadow runs gave another class (4.0 %) than the serving release; ' +
        'the limit is 20.0 %.',
    )
    for (let wave = 1; wave < 4; wave++) {
      await fleet.after(1_000)
      for (const device of underRollout(devices, id)) {
        device.obey()
        device.count({ '1.0.0': [400, 0], '1.1.0': [400, 0] })
      }
      await fleet.after(1_000)
    }
    expect((await shown(fleet, id)).state).toBe('promoted')
  })

  it('is rolled back when the candidate gives other answers, before it served anybody', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const id = await startSecond(fleet, spec)
    for (const device of underRollout(devices, id)) {
      device.obey()
      device.count({ '1.0.0': [300, 0], '1.1.0': [0, 0] }, [300, 120])
    }
    await fleet.after(1_000)
    const rolling = await shown(fleet, id)
    expect([rolling.state, rolling.reason.code]).toEqual(['rolling_back', 'guardrail'])
    expect(rolling.reason.sentence).toBe(
      '120 of 300 shadow runs gave another class (40.0 %) than the serving release; ' +
        'the limit is 20.0 %.',
    )
    expect(rolling.totals.canaryRequests).toBe(0)
  })

  it('is refused for a release without classes: nothing could be compared', async () => {
    const { fleet } = await fleetOnFirstRelease()
    const known = ['1.0.0', '1.1.0'].map((version) => buildRelease(version))
    await fleet.publish([...known, buildRelease('1.3.0', { classes: null })], 2)
    const unclassed = buildSpec({ candidate: '1.3.0', waves: [...PRESETS['shadow-first']] })
    const created = await fleet.controller.application.createRollout(unclassed, ada)
    expect(created).toMatchObject({ error: { code: 'rollout.no_evidence' } })
  })

  it('counts the same after a restart', async () => {
    const { fleet, devices } = await fleetOnFirstRelease()
    const id = await startSecond(fleet, spec)
    for (const device of underRollout(devices, id)) {
      device.obey()
      device.count({ '1.0.0': [300, 0], '1.1.0': [0, 0] }, [100, 1])
    }
    await fleet.after(1_000)
    const before = (await shown(fleet, id)).evidence
    expect(before[0]?.canary).toMatchObject({ shadowCompared: 100, shadowDisagreed: 1 })
    const again = await fleet.restart()
    await again.controller.start()
    expect((await shown(again, id)).evidence).toEqual(before)
  })
})
