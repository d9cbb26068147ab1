/** Who is told what a device is to run: the device, by a token of its key that is good over HTTP only. */
import { expect, it } from 'vitest'
import type { Result } from '../../shared/kernel/result.ts'
import { mintDeviceJwt } from '../../shared/signing/device-jwt.ts'
import { ada, buildFleet, FLEET, type TestDevice } from '../fixtures/controller-builder.ts'
import { buildRelease } from '../fixtures/release-builders.ts'
import { signerNumber } from '../shared/signing/build-assignment.ts'

let tokens = 0
const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.error.code)

async function setUp() {
  const fleet = await buildFleet()
  await fleet.publish([buildRelease('1.0.0')], 1)
  const [first, second] = [await fleet.enrol('p1'), await fleet.enrol('p2')]
  const mint = (device: TestDevice, more: { use?: 'mqtt' | 'http'; jti?: string } = {}) =>
    mintDeviceJwt(
      {
        ...{ fleet: FLEET, device: device.name, use: 'http', nowMs: fleet.clock.nowMs() },
        ...{ lifetimeMs: 60_000, jti: `token-number-${1_000 + tokens++}`, ...more },
      },
      device.signer,
    )
  const prove = (device: string, token: string) =>
    codeOf(fleet.controller.application.proveDevice(device, token))
  return { fleet, first, second, mint, prove }
}

it('the device itself, once with each token', async () => {
  const { first, mint, prove } = await setUp()
  const token = mint(first)
  expect(prove('p1', token)).toBe('ok')
  expect(prove('p1', token)).toBe('token.replayed')
  expect(prove('p1', mint(first))).toBe('ok')
})

it('no other device, no stranger, and nobody by a password of the broker', async () => {
  const { first, second, mint, prove } = await setUp()
  expect(prove('p1', mint(second))).toBe('token.signature')
  expect(prove('p1', mint({ ...first, signer: signerNumber(66) }))).toBe('token.signature')
  expect(prove('p1', mint(first, { use: 'mqtt' }))).toBe('token.audience')
  expect(prove('p9', mint(first))).toBe('access.unknown_device')
  expect(prove('p1', 'lnt_operator')).toBe('token.malformed')
})

it('no device that was revoked', async () => {
  const { fleet, first, mint, prove } = await setUp()
  await fleet.controller.application.revokeDevice('p1', '', ada)
  expect(prove('p1', mint(first))).toBe('access.revoked')
})
