/** The typed client: what it sends, and how every outcome becomes a value. */
import { expect, test } from 'vitest'
import { createClient, type Fetch, type FetchRequest } from '../../../shared/api/client.ts'
import { ENDPOINT_IDS, ENDPOINTS, endpointPath } from '../../../shared/api/endpoints.ts'
import { ROUTES } from '../../../shared/api/routes.ts'

function clientOf(status: number, text: string) {
  const sent: { url: string; request: FetchRequest }[] = []
  const fetch: Fetch = async (url, request) => {
    sent.push({ url, request })
    return { status, text: async () => text }
  }
  const newKey = () => `key-${sent.length}`
  return { sent, client: createClient({ baseUrl: 'http://h:1', token: 'lnt_x', fetch, newKey }) }
}

test('every endpoint has its schemas, and every path parameter is described', () => {
  expect(Object.keys(ROUTES).toSorted()).toEqual(ENDPOINT_IDS.toSorted())
  for (const id of ENDPOINT_IDS) {
    const names = [...ENDPOINTS[id].path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
    expect(Object.keys(ROUTES[id].params.shape)).toEqual(names)
  }
})

test('no two endpoints share method and path', () => {
  const keys = ENDPOINT_IDS.map((id) => `${ENDPOINTS[id].method} ${ENDPOINTS[id].path}`)
  expect(new Set(keys).size).toBe(keys.length)
})

test('parameters are encoded, absent query values are left out', () => {
  expect(endpointPath('deviceShow', { device: '../x y' })).toBe('/api/v1/devices/..%2Fx%20y')
  expect(endpointPath('releaseList', {}, { model: undefined })).toBe('/api/v1/releases')
  expect(endpointPath('releaseList', {}, { model: 'a&b' })).toBe('/api/v1/releases?model=a%26b')
})

test('a command carries token, key and body', async () => {
  const { client, sent } = clientOf(200, '{"id":"r-1"}')
  const body = { command: 'pause' as const }
  const result = await client.call('rolloutCommand', { params: { id: 'r-1' }, body })
  expect(result).toEqual({ ok: true, value: { id: 'r-1' } })
  expect(sent[0]).toEqual({
    url: 'http://h:1/api/v1/rollouts/r-1/commands',
    request: {
      method: 'POST',
      headers: {
        accept: 'application/json',
        authorization: 'Bearer lnt_x',
        'idempotency-key': 'key-0',
        'content-type': 'application/json',
      },
      body: '{"command":"pause"}',
    },
  })
})

test('bytes go as they are', async () => {
  const { client, sent } = clientOf(200, '{"version":1}')
  const bytes = new Uint8Array([1, 2])
  await client.call('rootPut', {}, bytes)
  expect(sent[0]?.request.body).toBe(bytes)
  expect(sent[0]?.request.headers['content-type']).toBe('application/octet-stream')
})

test.each([
  ['a refusal', 409, '{"error":{"code":"rollout.stale","message":"Moved on."}}', 'rollout.stale'],
  ['a page of somebody else', 200, '<html>', 'controller.answer'],
  ['an error of somebody else', 502, 'Bad gateway', 'controller.answer'],
  ['an error without our form', 500, '{"error":"x"}', 'controller.answer'],
])('%s is a problem', async (_, status, text, code) => {
  const result = await clientOf(status, text).client.call('health', {})
  expect(result).toMatchObject({ ok: false, error: { code } })
})

test('no answer is a problem of its own, with the reason', async () => {
  const fetch: Fetch = async () => {
    throw new Error('connect ECONNREFUSED')
  }
  const client = createClient({ baseUrl: 'http://h:1', fetch, newKey: () => '' })
  expect(await client.call('health', {})).toMatchObject({
    ok: false,
    error: { code: 'controller.unreachable', found: 'connect ECONNREFUSED' },
  })
})
