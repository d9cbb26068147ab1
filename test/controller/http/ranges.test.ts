/** Artifacts over HTTP with ranges, after RFC 9110 clause 14. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseRange } from '../../../controller/http/ranges.ts'
import { buildHttp, type HttpFixture } from '../../fixtures/http-builder.ts'

const bytes = Uint8Array.from({ length: 1_000 }, (_, i) => i % 251)
const sha256 = createHash('sha256').update(bytes).digest('hex')
const path = `/api/v1/artifacts/${sha256}`

let fixture: HttpFixture
beforeAll(async () => {
  fixture = await buildHttp()
  fixture.application.artifacts.set(sha256, bytes)
})
afterAll(() => fixture.remove())

const get = (headers: Record<string, string>, method = 'GET') =>
  fixture.as(null, path, { method, headers })

describe('parseRange', () => {
  test.each([
    ['bytes=0-9', { start: 0, end: 10 }],
    ['bytes=990-', { start: 990, end: 1_000 }],
    ['bytes=-10', { start: 990, end: 1_000 }],
    ['bytes=-5000', { start: 0, end: 1_000 }],
    ['bytes=0-5000', { start: 0, end: 1_000 }],
    ['bytes=1000-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=9-0', undefined],
    ['bytes=0-1,5-6', undefined],
    ['lines=0-1', undefined],
    ['bytes=-', undefined],
    ['bytes=a-b', undefined],
  ])('%s of 1000 bytes', (header, expected) => {
    expect(parseRange(header, 1_000)).toEqual(expected)
  })
})

test('without a range the whole file comes, with its length and tag', async () => {
  const response = await get({})
  expect(response.status).toBe(200)
  expect(response.headers.get('accept-ranges')).toBe('bytes')
  expect(response.headers.get('etag')).toBe(`"${sha256}"`)
  expect(response.headers.get('cache-control')).toContain('immutable')
  expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes)
})

test('a range comes as 206 with its place in the whole', async () => {
  const response = await get({ range: 'bytes=100-199' })
  expect(response.status).toBe(206)
  expect(response.headers.get('content-range')).toBe('bytes 100-199/1000')
  expect(response.headers.get('content-length')).toBe('100')
  expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes.slice(100, 200))
})

test('a range outside the file is 416 and says how long the file is', async () => {
  const response = await get({ range: 'bytes=1000-' })
  expect(response.status).toBe(416)
  expect(response.headers.get('content-range')).toBe('bytes */1000')
  expect(await response.json()).toMatchObject({ error: { code: 'http.range' } })
})

test('If-Range with the same tag resumes, with another starts over', async () => {
  const range = 'bytes=500-'
  expect((await get({ range, 'if-range': `"${sha256}"` })).status).toBe(206)
  expect((await get({ range, 'if-range': '"else"' })).status).toBe(200)
  expect((await get({ range, 'if-range': 'Wed, 21 Oct 2026 07:28:00 GMT' })).status).toBe(200)
})

test('a known tag is answered with 304 and no body', async () => {
  const response = await get({ 'if-none-match': `"other", "${sha256}"` })
  expect(response.status).toBe(304)
  expect((await response.arrayBuffer()).byteLength).toBe(0)
})

test('HEAD gives the headers alone', async () => {
  const response = await get({}, 'HEAD')
  expect(response.status).toBe(200)
  expect(response.headers.get('content-length')).toBe('1000')
  expect((await response.arrayBuffer()).byteLength).toBe(0)
})

test('a TUF target is found by the digest in its name', async () => {
  const response = await fixture.as(null, `/tuf/targets/motor/1.0.0/${sha256}.fp32.onnx`)
  expect(response.status).toBe(200)
  expect((await response.arrayBuffer()).byteLength).toBe(1_000)
})

test('the timestamp is never called immutable', async () => {
  const response = await fixture.as(null, '/tuf/metadata/timestamp.json')
  expect(response.status).toBe(200)
  expect(response.headers.get('cache-control')).toBe('no-cache')
})

test('an artifact under a wrong digest is refused and not kept', async () => {
  const wrong = '0'.repeat(64)
  const response = await fixture.as('publisher', `/api/v1/artifacts/${wrong}`, {
    method: 'PUT',
    body: 'something else',
  })
  expect(response.status).toBe(422)
  expect(await response.json()).toMatchObject({ error: { code: 'artifact.digest' } })
  expect(fixture.application.artifacts.has(wrong)).toBe(false)
})
