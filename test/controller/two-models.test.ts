/** Two models on one device, each under a rollout of its own. */
import { expect, it } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import { ada, countedWindow } from '../fixtures/controller-builder.ts'
import { buildRelease } from '../fixtures/release-builders.ts'
import { buildSpec } from '../fixtures/rollout-builders.ts'
import { buildServingFleet, firstRelease, startRollout } from '../fixtures/serving-fleet.ts'

it('a rollout whose share is too small for any device hears the one that stands in', async () => {
  const { fleet, devices } = await buildServingFleet()
  const known = ['1.0.0', '1.1.0'].map((version) => buildRelease(version))
  await fleet.publish([...known, buildRelease('1.0.0', { model: 'axle' })], 2)
  await startRollout(fleet, { ...firstRelease, model: 'axle' })
  const [wave, last] = buildSpec().waves
  const tiny = buildSpec({ waves: [{ ...wave!, percent: 0.001 }, last!] })
  const id = await startRollout(fleet, tiny)
  const held = devices.filter((device) =>
    device.assignment()?.slots.some(({ slot }) => slot === 'candidate'),
  )
  expect(held).toHaveLength(1)
  const others = devices.filter((device) => device !== held[0])
  for (const device of [held[0]!, others[0]!]) {
    const assignment = device.obey()
    // The device has one cohort, and it is the other rollout's.
    expect(assignment.cohort?.startsWith(`${id}-`)).toBe(false)
    device.say('telemetry', {
      ...{ boot: device.boot, seq: device.nextSeq(), model: 'motor' },
      ...{ generation: assignment.generation, rollout: { id, wave: 0 }, share: 100_000 },
      ...{ startedAtMs: fleet.clock.nowMs() - 10_000, durationMs: 10_000 },
      arms: [
        { arm: 'canary', version: '1.1.0', variant: 'fp32', window: countedWindow(40, 1) },
        { arm: 'baseline', version: '1.0.0', variant: 'fp32', window: countedWindow(400, 1) },
      ],
    })
  }
  await fleet.after(1_000)
  const { totals, reason } = unwrap(await fleet.controller.application.getRollout(id, ada))
  // The other device has no part in it: what it says of this rollout counts for nothing.
  expect(totals).toEqual({ canaryRequests: 40, canaryBad: 1 })
  expect(reason.sentence).not.toContain('no evidence')
})
