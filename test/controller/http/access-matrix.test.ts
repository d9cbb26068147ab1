/**
 * Every endpoint against every role, and without credentials: the access matrix, asked for real.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ENDPOINT_IDS,
  ENDPOINTS,
  type Endpoint,
  type EndpointId,
  endpointPath,
} from '../../../shared/api/endpoints.ts'
import { ROLES } from '../../../shared/model/role.ts'
import type { RolloutCommand } from '../../../shared/rollout/state.ts'
import { MAY_CALL, MAY_COMMAND } from '../../fixtures/access-table.ts'
import { buildHttp, type HttpFixture } from '../../fixtures/http-builder.ts'
import { rolloutResource } from '../../fixtures/resource-builders.ts'

let fixture: HttpFixture
beforeAll(async () => {
  fixture = await buildHttp()
})
afterAll(() => fixture.remove())

const SHA = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const PARAMS = {
  device: 'press-1',
  model: 'motor',
  version: '1.0.0',
  file: `${SHA}.fp32.onnx`,
  sha256: SHA,
  id: 'r-0',
  name: 'nobody',
}
/** Bodies that are good enough to get past the schema. */
const BODIES: Partial<Record<EndpointId, unknown>> = {
  loginLinkCreate: {},
  tokenCreate: { name: 'robot', role: 'viewer' },
  enrolmentTokenCreate: {},
  onlineKeysPrepare: { roles: ['director'] },
  deviceRevoke: {},
  deviceApprove: {},
  rolloutCreate: {
    model: 'motor',
    candidate: '1.1.0',
    baseline: '1.0.0',
    waves: [{ percent: 100, trafficPercent: 50 }],
  },
  rolloutCommand: { command: 'pause' },
}

async function statusFor(role: (typeof ROLES)[number] | null, id: EndpointId): Promise<number> {
  fixture.application.rollouts.set('r-0', rolloutResource({ id: 'r-0' }))
  const endpoint: Endpoint = ENDPOINTS[id]
  const { method } = endpoint
  const init = endpoint.body === 'json' ? { method, json: BODIES[id] } : { method }
  const response = await fixture.as(role, endpointPath(id, PARAMS), init)
  await response.body?.cancel()
  return response.status
}

describe.each(ENDPOINT_IDS)('%s', (id) => {
  const access = MAY_CALL[id]
  test.each(ROLES)('as %s', async (role) => {
    const status = await statusFor(role, id)
    if (access === 'device') expect(status).toBe(403)
    else if (access === 'public' || access.includes(role)) {
      // A pause by an approver is refused by the finer table, asked below.
      if (id === 'rolloutCommand' && role === 'approver') expect(status).toBe(403)
      else expect([401, 403]).not.toContain(status)
    } else {
      expect(status).toBe(403)
    }
  })
  test('without credentials', async () => {
    const status = await statusFor(null, id)
    // The login page answers 400 here: it was given no code.
    if (access === 'public') expect([401, 403]).not.toContain(status)
    else expect(status).toBe(401)
  })
})

test("what is a device's alone is given to it, and to no other device", async () => {
  const ask = (device: string, token: string) =>
    fixture.as(null, endpointPath('deviceAssignment', { device }), {
      headers: { authorization: `Bearer ${token}` },
    })
  expect((await ask('press-1', 'proof-of-press-1')).status).toBe(200)
  const other = await ask('press-1', 'proof-of-press-2')
  expect([other.status, (await other.json()).error.code]).toEqual([401, 'token.signature'])
})

describe.each(Object.keys(MAY_COMMAND) as RolloutCommand[])('rollout command %s', (command) => {
  test.each(ROLES)('as %s', async (role) => {
    fixture.application.rollouts.set('r-0', rolloutResource({ id: 'r-0' }))
    const response = await fixture.as(role, '/api/v1/rollouts/r-0/commands', {
      method: 'POST',
      json: { command },
    })
    expect(response.status).toBe(MAY_COMMAND[command].includes(role) ? 200 : 403)
  })
})

test('no handler failed on the way', () => {
  expect(fixture.failures).toEqual([])
})
