import { describe, expect, it } from 'vitest'
import { createEffectLane } from '../../agent/effect-lane.ts'
import type { DeviceEffect } from '../../shared/update/state.ts'

const collectGarbage: DeviceEffect = { kind: 'collectGarbage', keep: [] }

function buildLane() {
  const performed: string[] = []
  const lane = createEffectLane(
    async ({ kind }) => {
      performed.push(kind)
    },
    {
      clock: { nowMs: () => 0, monotonicMs: () => 0, after: () => () => undefined },
      log: { info: () => undefined, warn: () => undefined },
      random: () => 0,
    },
  )
  return { lane, performed }
}

describe('the effect lane', () => {
  it('goes on after an event that asked for nothing', async () => {
    const { lane, performed } = buildLane()
    lane.push([])
    lane.push([collectGarbage])
    await lane.idle()
    expect(performed).toEqual(['collectGarbage'])
  })

  it('is idle once closed, whatever is pushed', async () => {
    const { lane, performed } = buildLane()
    lane.close()
    lane.push([collectGarbage])
    await lane.idle()
    expect(performed).toEqual([])
  })
})
