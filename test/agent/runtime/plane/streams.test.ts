import { describe, expect, it } from 'vitest'
import type { InferRequest } from '../../../../agent/data-plane.ts'
import { createStreamTable } from '../../../../agent/runtime/plane/stream-table.ts'
import { ok } from '../../../../shared/kernel/result.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../plane-builder.ts'

const live = (version: string) => buildLive(() => SCORES(0.9, 0.1), { version })

function ask(plane: BuiltPlane, id: string, part = '', more: Partial<InferRequest> = {}) {
  const request: InferRequest = {
    model: 'tiny',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1, 2) }],
    stream: { id, start: part === 'start', end: part === 'end' },
    arrivedAtMs: performance.now(),
    ...more,
  }
  return plane.infer(request, ({ version, arm }) => ok(`${version} ${arm}`))
}

describe('A stream', () => {
  it('keeps the release it began with across a swap, and lets it go at its end', async () => {
    const plane = buildPlane()
    const [old, next] = [live('1.0.0'), live('1.1.0')]
    plane.put(old)
    old.letGo()
    expect(await ask(plane, 'a', 'start')).toEqual(ok('1.0.0 baseline'))
    plane.put(next, { generation: 2 })
    expect(await ask(plane, 'b', 'start')).toEqual(ok('1.1.0 baseline'))
    expect(await ask(plane, 'a')).toEqual(ok('1.0.0 baseline'))
    expect(old.released()).toBe(0)
    expect(await ask(plane, 'a', 'end')).toEqual(ok('1.0.0 baseline'))
    expect(old.released()).toBe(1)
    expect(await ask(plane, 'a')).toMatchObject({ error: { code: 'stream.unknown' } })
  })

  it('keeps its arm while the share changes, and stays out of the statistics', async () => {
    const plane = buildPlane()
    const [current, candidate] = [live('1.0.0'), live('1.1.0')]
    plane.put(current, { candidate, trafficShare: 1_000_000 })
    expect(await ask(plane, 'a', 'start')).toEqual(ok('1.1.0 canary'))
    plane.put(current, { candidate, trafficShare: 0, generation: 2 })
    expect(await ask(plane, 'a')).toEqual(ok('1.1.0 canary'))
    expect(await ask(plane, 'b', 'start')).toEqual(ok('1.0.0 baseline'))
    expect(plane.flush()).toEqual([])
    expect(plane.statistics().map(({ answered }) => answered)).toEqual([2, 1])
  })

  it('begins with a start, and a second start begins anew', async () => {
    const plane = buildPlane()
    plane.put(live('1.0.0'))
    expect(await ask(plane, 'a')).toMatchObject({
      error: {
        code: 'stream.unknown',
        found: 'a',
        expected: expect.stringMatching(/^sequence_st/),
      },
    })
    await ask(plane, 'a', 'start')
    plane.put(live('1.1.0'), { generation: 2 })
    expect(await ask(plane, 'a', 'start')).toEqual(ok('1.1.0 baseline'))
    expect(await ask(plane, 'a')).toEqual(ok('1.1.0 baseline'))
  })

  it('is refused another version than its own', async () => {
    const plane = buildPlane()
    plane.put(live('1.0.0'))
    await ask(plane, 'a', 'start')
    expect(await ask(plane, 'a', '', { version: '1.1.0' })).toMatchObject({
      error: { code: 'infer.unknown_version', expected: '1.0.0' },
    })
    expect(await ask(plane, 'a', '', { version: '1.0.0' })).toEqual(ok('1.0.0 baseline'))
  })

  it('is not begun by a request that is refused', async () => {
    const plane = buildPlane()
    plane.put(live('1.0.0'))
    expect(await ask(plane, 'a', 'start', { inputs: [] })).toMatchObject({
      error: { code: 'infer.invalid_input' },
    })
    expect(await ask(plane, 'a')).toMatchObject({ error: { code: 'stream.unknown' } })
  })

  it('is told why it ended when the local guard stopped its release', async () => {
    const plane = buildPlane()
    let isFailing = false
    const candidate = buildLive(
      () => (isFailing ? Promise.reject(new Error('kernel failed')) : SCORES(1, 0)),
      { version: '1.1.0' },
    )
    plane.put(live('1.0.0'), { candidate, trafficShare: 1_000_000 })
    await ask(plane, 'a', 'start')
    isFailing = true
    for (let i = 0; i < 60; i++) await ask(plane, '', '', { stream: undefined })
    expect(plane.broke).toHaveLength(1)
    expect(await ask(plane, 'a')).toMatchObject({
      error: { code: 'stream.version_gone', found: 'version 1.1.0 was taken out of service' },
    })
    expect(await ask(plane, 'a', 'start')).toEqual(ok('1.0.0 baseline'))
  })

  it('ends with its model', async () => {
    const plane = buildPlane()
    const only = live('1.0.0')
    plane.put(only)
    only.letGo()
    await ask(plane, 'a', 'start')
    plane.swap(new Map())
    expect(only.released()).toBe(1)
  })
})

describe('The table of streams', () => {
  const part = (id: string, start = true) => ({ id, start, end: false })
  const wish = { model: 'tiny', inputs: [], arrivedAtMs: 0 }

  function table() {
    let atMs = 0
    const release = live('1.0.0')
    const draw = { arm: 'baseline' as const, live: release, recorder: undefined }
    const streams = createStreamTable(() => atMs)
    const pass = (ms: number) => {
      atMs += ms
    }
    const enter = (id: string, start = true) => streams.enter('tiny', part(id, start), draw)
    return { streams, release, enter, pass }
  }

  it('ends a stream after a minute of silence, not while it is answered', () => {
    const { streams, enter, pass } = table()
    const leave = enter('a')
    enter('b').ok && pass(61_000)
    expect(streams.pinned(wish, part('a')).ok).toBe(true)
    if (leave.ok) leave.value()
    pass(59_000)
    expect(streams.pinned(wish, part('a')).ok).toBe(true)
    pass(2_000)
    expect(streams.pinned(wish, part('a'))).toMatchObject({
      error: { code: 'stream.version_gone', found: 'nothing came for 60 s' },
    })
  })

  it('takes 1,024 streams and no more, until some are idle', () => {
    const { enter, pass } = table()
    for (let i = 0; i < 1_024; i++) {
      const leave = enter(`${i}`)
      if (leave.ok) leave.value()
    }
    expect(enter('more')).toMatchObject({ error: { code: 'stream.too_many' } })
    pass(61_000)
    expect(enter('more').ok).toBe(true)
  })
})
