/** One address, however it is spelled. */
import { describe, expect, it } from 'vitest'
import { targetOf } from '../../../agent/front/request-target.ts'

const INFER = '/v2/models/mnist/infer'

describe('The target of a request', () => {
  it.each([
    INFER,
    '/v2/models/%6dnist/infer',
    '/v2/mod%65ls/mnist/%69nfer',
    'http://localhost:8000/v2/models/mnist/infer',
    '/v2/./models/x/../mnist/infer',
    '/v2/%2e/models/mnist/infer',
    '/v2\\models\\mnist\\infer',
  ])('%s is the same as any other spelling of it', (url) => {
    expect(targetOf(url)).toEqual({ ok: true, value: { path: INFER, query: '' } })
  })

  it('keeps its query, and what is encoded in a path that names no model', () => {
    expect(targetOf('/v2/repository/a%20b/index?x=%6d')).toEqual({
      ...{ ok: true, value: { path: '/v2/repository/a%20b/index', query: '?x=%6d' } },
    })
  })

  it.each([
    '/v2/models/%256dnist/infer',
    '/v2/models/mnist%2Finfer',
    '/v2/models//mnist/infer',
    '/v2/models/mnist%/infer',
    '/v2/models/mn%C3%AFst/infer',
    '*',
    `/${'%61'.repeat(2_000)}`,
  ])('%s is no route', (url) => {
    expect(targetOf(url)).toMatchObject({ ok: false, error: { code: 'request.unknown_route' } })
  })
})
