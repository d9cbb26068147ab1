import { describe, expect, it } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { checkSync } from '../../shared/signing/keys.ts'
import { acceptTime } from '../../shared/signing/signed-time.ts'
import { buildFleet, FLEET } from '../fixtures/controller-builder.ts'

const nonce = 'ab'.repeat(16)

describe('the time for a device whose clock is not set', () => {
  it('is signed by the director for its question alone', async () => {
    const { controller, clock, enrol } = await buildFleet()
    const { name: device } = await enrol('press-1')
    const { application } = controller
    const bytes = unwrap(await application.timeFor(device, nonce))
    const { key, keyId } = (await application.onlineKeys()).find(({ role }) => role === 'director')!
    const director = { keys: new Map([[keyId, key]]), threshold: 1 }
    const verdict = (question: { device: string; nonce: string }) => {
      const checking = acceptTime(bytes, director, { fleet: FLEET, ...question })
      return checkSync(checking, nodeVerifier)
    }
    expect(verdict({ device, nonce })).toEqual({ ok: true, value: clock.nowMs() })
    const other = 'cd'.repeat(16)
    expect(verdict({ device, nonce: other })).toMatchObject({ error: { code: 'time.nonce' } })
    expect(verdict({ device: 'press-2', nonce })).toMatchObject({ error: { code: 'time.nonce' } })
  })

  it('is told to devices of this fleet only', async () => {
    const { controller } = await buildFleet()
    expect(await controller.application.timeFor('stranger', nonce)).toMatchObject({ ok: false })
  })
})
