/** What every request meets: addresses, credentials, schemas, limits, repetition. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openAccessStore } from '../../../controller/http/access-store.ts'
import { errorResourceSchema } from '../../../shared/api/resources.ts'
import { buildHttp, type HttpFixture } from '../../fixtures/http-builder.ts'
import { rolloutResource } from '../../fixtures/resource-builders.ts'

let fixture: HttpFixture
beforeAll(async () => {
  fixture = await buildHttp()
})
afterAll(() => fixture.remove())

async function codeOf(response: Response): Promise<string> {
  return errorResourceSchema.parse(await response.json()).error.code
}

describe('addresses', () => {
  test.each(['localhost:7420', '127.0.0.1:7420', '[::1]:7420'])('%s is ours', async (host) => {
    expect((await fixture.as(null, '/healthz', { headers: { host } })).status).toBe(200)
  })
  test('a name that points here from elsewhere is refused (DNS rebinding)', async () => {
    const response = await fixture.as('admin', '/healthz', { headers: { host: 'evil.example' } })
    expect(response.status).toBe(421)
    expect(await codeOf(response)).toBe('http.host')
  })
  test.each(['http://evil.example', 'null', 'http://localhost:9999'])(
    'a page of %s may not call, even with a token',
    async (origin) => {
      const headers = { host: 'localhost:7420', origin }
      const response = await fixture.as('admin', '/api/v1/devices', { headers })
      expect(response.status).toBe(403)
      expect(await codeOf(response)).toBe('http.origin')
    },
  )
  test('every answer carries the security headers, refusals too', async () => {
    for (const path of ['/healthz', '/nowhere', '/api/v1/devices']) {
      const { headers } = await fixture.as(null, path)
      expect(headers.get('content-security-policy')).toContain("default-src 'none'")
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('x-frame-options')).toBe('DENY')
    }
  })
})

describe('paths', () => {
  test('an unknown path is 404 with a code', async () => {
    const response = await fixture.as('admin', '/api/v1/nothing')
    expect(response.status).toBe(404)
    expect(await codeOf(response)).toBe('http.not_found')
  })
  test('a known path with another method is 405 and says which', async () => {
    const response = await fixture.as('admin', '/api/v1/rollouts', { method: 'DELETE' })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, POST')
    expect(await codeOf(response)).toBe('http.method')
  })
  test('a path parameter that is no name is refused', async () => {
    const response = await fixture.as('viewer', '/api/v1/devices/..%2F..%2Fetc')
    expect(response.status).toBe(400)
    expect(await codeOf(response)).toBe('http.malformed')
  })
  test('an unknown device is 404', async () => {
    const response = await fixture.as('viewer', '/api/v1/devices/nobody')
    expect(response.status).toBe(404)
    expect(await codeOf(response)).toBe('device.not_found')
  })
})

describe('bodies', () => {
  const post = (init: { body?: string; json?: unknown; headers?: Record<string, string> }) =>
    fixture.as('operator', '/api/v1/rollouts', { method: 'POST', ...init })
  test('JSON without its media type is refused', async () => {
    const response = await post({ body: '{}', headers: { 'content-type': 'text/plain' } })
    expect(response.status).toBe(415)
  })
  test('text that is not JSON is refused', async () => {
    const headers = { 'content-type': 'application/json' }
    const response = await post({ body: '{"model":', headers })
    expect(response.status).toBe(400)
    expect((await response.json()).error).toMatchObject({
      ...{ code: 'http.malformed', found: '9 characters' },
      next: 'see rolloutCreate at /openapi.json',
    })
  })
  test('a field that is not in the schema is refused, by name', async () => {
    const response = await post({ json: { model: 'motor', surprise: 1 } })
    expect(response.status).toBe(400)
    expect((await response.json()).error.found).toContain('surprise')
  })
  test('a body over the limit is refused, declared or not', async () => {
    const response = await post({ json: { model: 'x'.repeat(70_000) } })
    expect(response.status).toBe(413)
    expect((await response.json()).error).toMatchObject({
      ...{ code: 'http.too_large', expected: 'at most 65536 bytes' },
      next: expect.stringContaining('/openapi.json'),
    })
  })
  test('an enrolment request over 32 kB is refused before it is read', async () => {
    const body = 'x'.repeat(32_769)
    const response = await fixture.as(null, '/api/v1/enrol', { method: 'POST', body })
    expect(response.status).toBe(413)
  })
})

describe('credentials', () => {
  test('a wrong token is 401 and says what to do', async () => {
    const headers = { authorization: 'Bearer lnt_wrong' }
    const response = await fixture.as(null, '/api/v1/devices', { headers })
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toContain('Bearer')
    expect(await codeOf(response)).toBe('auth.unknown')
  })
  test('secrets are not on disk, and the first admin token is for its owner alone', async () => {
    const stored = await readFile(join(fixture.home, 'access.json'), 'utf8')
    for (const secret of Object.values(fixture.tokens)) expect(stored).not.toContain(secret)
    for (const file of ['token', 'access.json']) {
      expect((await stat(join(fixture.home, file))).mode & 0o777).toBe(0o600)
    }
  })
  test('tokens survive a restart, the local one too', async () => {
    const local = (await readFile(join(fixture.home, 'token'), 'utf8')).trim()
    const again = await openAccessStore(fixture.home, () => fixture.clock.nowMs)
    expect(again.admit(fixture.tokens.operator)?.role).toBe('operator')
    expect(again.admit(local)?.role).toBe('admin')
    expect((await readFile(join(fixture.home, 'token'), 'utf8')).trim()).toBe(local)
  })
  test('an admin makes a token, which works until it is revoked', async () => {
    const json = { name: 'ci-robot', role: 'publisher' }
    const made = await fixture.as('admin', '/api/v1/tokens', { method: 'POST', json })
    const { token } = (await made.json()) as { token: string }
    const headers = { authorization: `Bearer ${token}` }
    const session = await fixture.as(null, '/api/v1/session', { headers })
    expect(await session.json()).toEqual({ name: 'ci-robot', role: 'publisher', fleet: 'plant' })
    const twice = await fixture.as('admin', '/api/v1/tokens', { method: 'POST', json })
    expect([twice.status, await codeOf(twice)]).toEqual([409, 'token.duplicate'])
    await fixture.as('admin', '/api/v1/tokens/ci-robot', { method: 'DELETE' })
    expect((await fixture.as(null, '/api/v1/session', { headers })).status).toBe(401)
  })
  test('a token with an end admits nobody after it', async () => {
    const json = { name: 'short', role: 'viewer', expiresInSeconds: 60 }
    const made = await fixture.as('admin', '/api/v1/tokens', { method: 'POST', json })
    const { token } = (await made.json()) as { token: string }
    const headers = { authorization: `Bearer ${token}` }
    expect((await fixture.as(null, '/api/v1/session', { headers })).status).toBe(200)
    fixture.clock.nowMs += 61_000
    expect((await fixture.as(null, '/api/v1/session', { headers })).status).toBe(401)
  })
})

describe('the console signs in with a link that works once', () => {
  const admin = { name: 'local-admin', role: 'admin' } as const
  async function signIn(): Promise<string> {
    const response = await fixture.as(null, fixture.http.loginPath(admin))
    expect(response.status).toBe(303)
    expect(response.headers.get('location')).toBe('/')
    expect(response.headers.get('cache-control')).toBe('no-store')
    const cookie = response.headers.get('set-cookie') ?? ''
    expect(cookie).toContain('HttpOnly')
    expect(cookie).toContain('SameSite=Strict')
    return cookie.split(';')[0] ?? ''
  }
  test('the cookie admits; the link does not admit again', async () => {
    const link = fixture.http.loginPath(admin)
    const first = await fixture.as(null, link)
    expect(first.status).toBe(303)
    expect((await fixture.as(null, link)).status).toBe(401)
    const cookie = await signIn()
    const response = await fixture.as(null, '/api/v1/session', { headers: { cookie } })
    expect(await response.json()).toMatchObject({ name: 'local-admin', role: 'admin' })
  })
  test('a link is too old after a quarter of an hour', async () => {
    const link = fixture.http.loginPath(admin)
    fixture.clock.nowMs += 15 * 60_000
    expect((await fixture.as(null, link)).status).toBe(401)
  })
  test('a link and a session end with the token that made them', async () => {
    const linkOf = async (expiresInSeconds: number | null) => {
      const json = { name: 'leaving', role: 'admin', expiresInSeconds }
      const made = await fixture.as('admin', '/api/v1/tokens', { method: 'POST', json })
      const { token } = (await made.json()) as { token: string }
      const answer = await fixture.as(null, '/api/v1/login-links', {
        ...{ method: 'POST', json: { role: 'admin' } },
        headers: { authorization: `Bearer ${token}` },
      })
      const { url } = (await answer.json()) as { url: string }
      return new URL(url).pathname + new URL(url).search
    }
    const revoke = () => fixture.as('admin', '/api/v1/tokens/leaving', { method: 'DELETE' })
    const early = await linkOf(null)
    expect((await revoke()).status).toBe(200)
    expect((await fixture.as(null, early)).status).toBe(401)
    const link = await linkOf(600)
    expect((await fixture.as(null, early)).status).toBe(401)
    const cookie = (await fixture.as(null, link)).headers.get('set-cookie')?.split(';')[0] ?? ''
    const session = () => fixture.as(null, '/api/v1/session', { headers: { cookie } })
    expect((await session()).status).toBe(200)
    fixture.clock.nowMs += 601_000
    expect((await session()).status).toBe(401)
    const late = await linkOf(60)
    fixture.clock.nowMs += 61_000
    expect((await fixture.as(null, late)).status).toBe(401)
  })
  test('a session that somebody else chose admits nobody (fixation)', async () => {
    const chosen = 'linnet_session=lns_chosen-by-somebody-else'
    const link = fixture.http.loginPath(admin)
    const response = await fixture.as(null, link, { headers: { cookie: chosen } })
    expect(response.headers.get('set-cookie')).not.toContain('chosen')
    const session = await fixture.as(null, '/api/v1/session', { headers: { cookie: chosen } })
    expect(session.status).toBe(401)
  })
  test('a change by cookie needs proof that it comes from our page', async () => {
    const cookie = await signIn()
    const logout = (headers: Record<string, string>) =>
      fixture.as(null, '/api/v1/session', { method: 'DELETE', headers: { cookie, ...headers } })
    const blind = await logout({})
    expect([blind.status, await codeOf(blind)]).toEqual([403, 'http.origin'])
    const own = { host: 'localhost:7420', origin: 'http://localhost:7420' }
    expect((await logout(own)).status).toBe(200)
    const after = await fixture.as(null, '/api/v1/session', { headers: { cookie } })
    expect(after.status).toBe(401)
  })
})

describe('repetition and stale clicks', () => {
  const spec = {
    model: 'motor',
    candidate: '1.1.0',
    baseline: '1.0.0',
    waves: [{ percent: 100, trafficPercent: 50 }],
  }
  const create = (key: string, json: unknown) =>
    fixture.as('operator', '/api/v1/rollouts', {
      method: 'POST',
      json,
      headers: { 'idempotency-key': key },
    })
  test('the same key twice, at once or later, creates one rollout', async () => {
    const before = fixture.application.rollouts.size
    const [a, b] = await Promise.all([create('key-0001', spec), create('key-0001', spec)])
    const c = await create('key-0001', spec)
    const bodies = await Promise.all([a.text(), b.text(), c.text()])
    expect(new Set(bodies).size).toBe(1)
    expect(c.status).toBe(201)
    expect(fixture.application.rollouts.size).toBe(before + 1)
  })
  test('the same key of another person is another key', async () => {
    const before = fixture.application.rollouts.size
    expect((await create('key-0009', spec)).status).toBe(201)
    const other = await fixture.as('admin', '/api/v1/rollouts', {
      ...{ method: 'POST', json: spec, headers: { 'idempotency-key': 'key-0009' } },
    })
    expect([other.status, fixture.application.rollouts.size]).toEqual([201, before + 2])
  })
  test('the same key for another request is refused', async () => {
    await create('key-0002', spec)
    const other = await create('key-0002', { ...spec, candidate: '1.2.0' })
    expect([other.status, await codeOf(other)]).toEqual([422, 'idempotency.mismatch'])
  })
  test('a click on what one saw a wave ago is refused', async () => {
    fixture.application.rollouts.set('r-9', rolloutResource({ id: 'r-9', wave: 1 }))
    const json = { command: 'pause', seen: { state: 'running', wave: 0 } }
    const path = '/api/v1/rollouts/r-9/commands'
    const stale = await fixture.as('operator', path, { method: 'POST', json })
    expect([stale.status, await codeOf(stale)]).toEqual([409, 'rollout.stale'])
  })
})

test('metrics are in Prometheus text form', async () => {
  const text = await (await fixture.as('viewer', '/metrics')).text()
  expect(text).toContain('linnet_devices{state="online"} 7')
  expect(text).toContain('linnet_messages_refused_total{code="frame.signature"} 6')
})

test('the interface describes itself as OpenAPI 3.1, every endpoint with its roles', async () => {
  const document = await (await fixture.as(null, '/openapi.json')).json()
  expect(document.openapi).toBe('3.1.0')
  const command = document.paths['/api/v1/rollouts/{id}/commands'].post
  expect(command['x-roles']).toEqual(['operator', 'approver', 'admin'])
  expect(command.requestBody.content['application/json'].schema.required).toEqual(['command'])
  expect(document.paths['/api/v1/releases'].get.parameters).toMatchObject([
    { name: 'model', in: 'query', required: false },
  ])
})

test('no handler failed on the way', () => {
  expect(fixture.failures).toEqual([])
})
