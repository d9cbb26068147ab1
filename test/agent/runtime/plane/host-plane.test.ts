import { describe, expect, it } from 'vitest'
import type { InferRequest } from '../../../../agent/data-plane.ts'
import { metricsText } from '../../../../agent/serve/metrics.ts'
import { ok } from '../../../../shared/kernel/result.ts'
import type { Window } from '../../../../shared/sketch/window.ts'
import { type BuiltPlane, buildLive, buildPlane, SCORES } from '../plane-builder.ts'

const request = (more: Partial<InferRequest> = {}): InferRequest => ({
  model: 'tiny',
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1, 2) }],
  arrivedAtMs: performance.now(),
  ...more,
})
const ask = (plane: BuiltPlane, more: Partial<InferRequest> = {}) =>
  plane.infer(request(more), ({ version, arm }) => ok({ version, arm }))
const turns = async (n = 3) => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve))
}
const windowOf = (plane: BuiltPlane, arm = 'baseline'): Window | undefined =>
  plane
    .flush()
    .flatMap(({ arms }) => arms)
    .find((row) => row.arm === arm)?.window

const low = () => buildLive(() => SCORES(0.9, 0.1))
const high = () => buildLive(() => SCORES(0.2, 0.8), { version: '1.1.0' })
const failing = () =>
  buildLive(() => Promise.reject(new Error('kernel failed')), { version: '1.2.0' })
const slow = (ms: number) =>
  buildLive(() => {
    const until = performance.now() + ms
    while (performance.now() < until);
    return SCORES(0.9, 0.1)
  })

describe('A request', () => {
  it('is answered by the arm it drew, at the share of the plan, replayably', async () => {
    const drawn = async () => {
      const plane = buildPlane()
      plane.put(low(), { candidate: high(), trafficShare: 250_000 })
      const arms: string[] = []
      for (let i = 0; i < 400; i++) {
        const answer = await ask(plane)
        if (answer.ok) arms.push(answer.value.arm)
      }
      return { arms, plane }
    }
    const [{ arms, plane }, again] = [await drawn(), await drawn()]
    expect(arms).toEqual(again.arms)
    const canary = arms.filter((arm) => arm === 'canary').length
    expect(canary).toBeGreaterThan(70)
    expect(canary).toBeLessThan(130)
    const [interval] = plane.flush()
    expect(interval?.arms.map(({ window }) => window.n)).toEqual([400 - canary, canary])
  })

  it('that is forced, keyed or asks for a version is answered but not counted', async () => {
    const plane = buildPlane()
    plane.put(low(), { candidate: high(), trafficShare: 500_000 })
    expect(await ask(plane, { arm: 'canary' })).toMatchObject({ value: { version: '1.1.0' } })
    expect(await ask(plane, { version: '1.0.0' })).toMatchObject({ value: { arm: 'baseline' } })
    const arms = new Set<string>()
    for (let i = 0; i < 20; i++) {
      const answer = await ask(plane, { key: 'session-7' })
      if (answer.ok) arms.add(answer.value.arm)
    }
    expect(arms.size).toBe(1)
    expect(plane.flush()).toEqual([])
    expect(plane.statistics().reduce((sum, { answered }) => sum + answered, 0)).toBe(22)
  })

  it('that is refused belongs to no arm', async () => {
    const plane = buildPlane()
    expect(await ask(plane)).toMatchObject({ error: { code: 'infer.not_ready' } })
    plane.put(low())
    expect(await ask(plane, { model: 'other' })).toMatchObject({
      error: { code: 'infer.unknown_model' },
    })
    expect(await ask(plane, { inputs: [] })).toMatchObject({
      error: { code: 'infer.invalid_input', expected: 'x FP32 [n,2]' },
    })
    expect(await ask(plane, { outputs: ['y'] })).toMatchObject({
      error: { code: 'infer.unknown_output', expected: 'scores' },
    })
    expect(await ask(plane, { version: '9.9.9' })).toMatchObject({
      error: { code: 'infer.unknown_version' },
    })
    expect(plane.flush()).toEqual([])
  })

  it('that fails in the run counts for its arm', async () => {
    const plane = buildPlane()
    plane.put(failing())
    expect(await ask(plane)).toMatchObject({ error: { code: 'infer.failed' } })
    expect(windowOf(plane)).toMatchObject({ n: 1, errors: { internal: 1 } })
  })

  it('that finds the line full is refused at once and counts as overloaded', async () => {
    const plane = buildPlane({ queueLengthMax: 2 })
    plane.put(slow(5))
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(plane)))
    const refused = answers.filter((answer) => !answer.ok)
    expect(refused.length).toBeGreaterThanOrEqual(3)
    expect(refused[0]).toMatchObject({ error: { code: 'infer.overloaded' } })
    expect(windowOf(plane)).toMatchObject({ n: 6, errors: { overloaded: refused.length } })
  })

  it('whose deadline passes while it waits is never run', async () => {
    const plane = buildPlane()
    let runs = 0
    plane.put(
      buildLive(() => {
        runs += 1
        const until = performance.now() + 30
        while (performance.now() < until);
        return SCORES(1, 0)
      }),
    )
    const first = ask(plane)
    const second = ask(plane, { deadlineMs: 10 })
    expect((await first).ok).toBe(true)
    expect(await second).toMatchObject({ error: { code: 'infer.deadline' } })
    expect(runs).toBe(1)
    expect(windowOf(plane)).toMatchObject({ n: 2, errors: { timeout: 1 } })
  })

  it('whose deadline passes during the run is told so', async () => {
    const plane = buildPlane({ deadlineMsMax: 10 })
    plane.put(slow(20))
    expect(await ask(plane)).toMatchObject({ error: { code: 'infer.deadline' } })
    expect(windowOf(plane)?.errors.timeout).toBe(1)
  })

  it('whose client has left is not run and counts as cancelled', async () => {
    const plane = buildPlane()
    let runs = 0
    plane.put(
      buildLive(() => {
        runs += 1
        return SCORES(1, 0)
      }),
    )
    let hasLeft = false
    const first = ask(plane)
    const second = ask(plane, { isGone: () => hasLeft })
    hasLeft = true
    expect((await first).ok).toBe(true)
    expect(await second).toMatchObject({ error: { code: 'infer.cancelled' } })
    expect(runs).toBe(1)
    expect(windowOf(plane)).toMatchObject({ n: 2, errors: { cancelled: 1 } })
  })

  it('leaves its times in every part, and its class', async () => {
    const plane = buildPlane()
    plane.put(high())
    await ask(plane)
    const window = windowOf(plane)
    const counts = Object.values(window?.latency ?? {}).map(({ counts }) => counts)
    expect(counts).toEqual([[1], [1], [1], [1], [1]])
    expect(window?.outputs.classCounts).toEqual([0, 1])
    expect(window?.outputs.confidenceBins[8]).toBe(1)
  })
})

describe('The mark of what runs', () => {
  it('stands from the first run of a turn to the last, also where one release serves', async () => {
    const marks: (string | null)[] = []
    const plane = buildPlane({ mark: (live) => void marks.push(live?.version ?? null) })
    const computing = () => {
      marks.push('computes')
      return SCORES(1, 0)
    }
    plane.put(buildLive(computing))
    await Promise.all(Array.from({ length: 40 }, () => ask(plane)))
    expect(marks.filter((mark) => mark === 'computes').length).toBe(40)
    let marked: string | null | undefined = null
    for (const mark of marks) {
      if (mark === 'computes') expect(marked).toBe('1.0.0')
      else marked = mark
    }
    expect(marked).toBeNull()
  })
})

describe('A swap', () => {
  it('lets the old session go after its last request, once', async () => {
    const plane = buildPlane()
    const [old, next] = [slow(5), high()]
    plane.put(old)
    old.letGo()
    const under = [ask(plane), ask(plane), ask(plane)]
    plane.put(next, { generation: 2 })
    expect(await ask(plane)).toMatchObject({ value: { version: '1.1.0' } })
    expect((await Promise.all(under)).map((answer) => answer.ok && answer.value.version)).toEqual([
      '1.0.0',
      '1.0.0',
      '1.0.0',
    ])
    expect(old.released()).toBe(1)
    const counted = plane.flush().map(({ generation, arms }) => [generation, arms[0]?.window.n])
    expect(counted).toEqual([
      [1, 3],
      [2, 1],
    ])
  })
})

describe('A shadow run', () => {
  it('compares classes without answering', async () => {
    const plane = buildPlane()
    plane.put(low(), { candidate: high(), shadow: 1_000_000 })
    for (let i = 0; i < 5; i++) {
      expect(await ask(plane)).toMatchObject({ value: { version: '1.0.0' } })
      await turns()
    }
    const outputs = windowOf(plane, 'canary')?.outputs
    expect(outputs).toMatchObject({ shadowCompared: 5, shadowDisagreed: 5 })
  })

  it('is dropped when somebody waits', async () => {
    const plane = buildPlane()
    plane.put(slow(2), { candidate: high(), shadow: 1_000_000 })
    await Promise.all(Array.from({ length: 10 }, () => ask(plane)))
    await turns()
    const compared = windowOf(plane, 'canary')?.outputs.shadowCompared ?? 0
    expect(compared).toBeLessThan(10)
    const dropped = plane.statistics().map(({ version, shadowDropped }) => [version, shadowDropped])
    expect(dropped).toContainEqual(['1.1.0', 10 - compared])
    const series = 'linnet_shadow_dropped{model="tiny",version="1.1.0"}'
    expect(metricsText(plane)).toContain(`${series} ${10 - compared}\n`)
  })
})

describe('The local guard in the plane', () => {
  it('stops a failing candidate, and counts from there on at share 0', async () => {
    const plane = buildPlane()
    plane.put(low(), { candidate: failing(), trafficShare: 500_000 })
    let failed = 0
    for (let i = 0; i < 200; i++) if (!(await ask(plane)).ok) failed += 1
    expect(failed).toBe(50)
    expect(plane.broke).toMatchObject([{ version: '1.2.0', problem: { code: 'guard.error_rate' } }])
    expect(plane.flush().map(({ share, arms }) => [share, arms.length])).toEqual([
      [500_000, 2],
      [0, 1],
    ])
  })

  it('leaves what it stopped to nobody, whoever asks for it by its version or its stream', async () => {
    const plane = buildPlane()
    plane.put(low(), { candidate: failing(), trafficShare: 500_000 })
    expect(plane.releases().map(({ version }) => version)).toEqual(['1.0.0', '1.2.0'])
    for (let i = 0; i < 200 && plane.broke.length === 0; i++) await ask(plane)
    expect(plane.broke).toMatchObject([{ version: '1.2.0' }])
    const gone = { error: { code: 'infer.unknown_version', expected: '1.0.0', found: '1.2.0' } }
    expect(await ask(plane, { version: '1.2.0' })).toMatchObject(gone)
    const stream = { id: 's', start: true, end: false }
    expect(await ask(plane, { version: '1.2.0', stream })).toMatchObject(gone)
    expect(plane.releases().map(({ version }) => version)).toEqual(['1.0.0'])
    expect(await ask(plane)).toMatchObject({ value: { version: '1.0.0' } })
  })

  it('gives the place of a current that it stopped to what served before, at once', async () => {
    const plane = buildPlane()
    const bad = buildLive(() => Promise.reject(new Error('broken')), { version: '2.0.0' })
    plane.put(bad, { previous: low(), candidate: high(), trafficShare: 100_000 })
    const stream = { id: 's', start: true, end: false }
    await ask(plane, { version: '2.0.0', stream })
    for (let i = 0; i < 300 && plane.broke.length === 0; i++) await ask(plane)
    expect(plane.broke).toMatchObject([{ version: '2.0.0', problem: { code: 'guard.error_rate' } }])
    const gone = { error: { code: 'infer.unknown_version', expected: '1.0.0, 1.1.0' } }
    expect(await ask(plane, { version: '2.0.0' })).toMatchObject(gone)
    expect(await ask(plane, { version: '2', stream })).toMatchObject(gone)
    const goesOn = { ...stream, start: false }
    expect(await ask(plane, { stream: goesOn })).toMatchObject({
      error: { code: 'stream.version_gone' },
    })
    const served = plane.releases().map(({ version, slot }) => [version, slot])
    expect(served).toEqual([
      ['1.0.0', 'current'],
      ['1.1.0', 'candidate'],
    ])
    for (const wish of [{}, { arm: 'baseline' }, { key: 'k' }, { version: '1.0.0' }] as const) {
      expect(await ask(plane, wish)).toMatchObject({ value: { version: '1.0.0', arm: 'baseline' } })
    }
    expect(await ask(plane, { arm: 'canary' })).toMatchObject({ value: { version: '1.1.0' } })
    const counted = plane.flush().map(({ arms }) => arms.map(({ version }) => version))
    expect(counted).toEqual([
      ['2.0.0', '1.1.0'],
      ['1.0.0', '1.1.0'],
    ])
  })

  it('counts what was on its way to a release that it stopped for that one alone', async () => {
    const plane = buildPlane()
    plane.put(failing(), { previous: low() })
    const answers = await Promise.all(Array.from({ length: 60 }, () => ask(plane)))
    expect(answers.every(({ ok }) => !ok)).toBe(true)
    for (let i = 0; i < 20; i++) expect(await ask(plane)).toMatchObject({ ok: true })
    const counted = plane.flush().map(({ arms: [arm] }) => [arm?.version, arm?.window.n])
    expect(counted).toEqual([
      ['1.2.0', 60],
      ['1.0.0', 20],
    ])
    expect(plane.broke).toHaveLength(1)
  })

  it('is not moved by deadlines that clients choose, before the run or after it', async () => {
    let atMs = 0
    const plane = buildPlane({ nowMs: () => atMs })
    const runs = buildLive(() => {
      atMs += 5
      return SCORES(0.9, 0.1)
    })
    plane.put(runs, { previous: high() })
    for (let i = 0; i < 100; i++) {
      const late = await ask(plane, { arrivedAtMs: atMs, deadlineMs: 1 })
      expect(late).toMatchObject({ error: { code: 'infer.deadline' } })
    }
    for (let i = 0; i < 100; i++) {
      const first = ask(plane, { arrivedAtMs: atMs })
      const [, expired] = [await first, await ask(plane, { arrivedAtMs: atMs - 2, deadlineMs: 1 })]
      expect(expired).toMatchObject({ error: { code: 'infer.deadline' } })
    }
    expect(windowOf(plane)).toMatchObject({ n: 300, errors: { timeout: 200 } })
    expect(plane.broke).toEqual([])
  })

  it('stops what misses its own service level, though every client gave it up before', async () => {
    let atMs = 0
    const plane = buildPlane({ nowMs: () => atMs, deadlineMsMax: 1_500 })
    const slower = buildLive(() => {
      atMs += 2_000
      return SCORES(0.9, 0.1)
    })
    plane.put(low(), { candidate: slower, trafficShare: 1_000_000 })
    for (let i = 0; i < 60; i++) await ask(plane, { arrivedAtMs: atMs })
    expect(plane.broke).toMatchObject([{ problem: { code: 'guard.latency' } }])
  })

  const levels = (latencyMsMax: number, latencyBadShareMax = 0.05) => ({
    serviceLevels: { latencyMsMax, latencyBadShareMax, errorRateMax: 0.01, qualityDropMax: 0.05 },
  })
  const SLOW = 300
  it.each([
    // Who, the host's limit, the promise, how many ask at once, whether it leaves.
    ['a current over its limit', 'current', 10_000, levels(100), 1, true],
    ['a current in time', 'current', 10_000, levels(400), 1, false],
    ['a current that no deadline lets through', 'current', 200, levels(10_000), 1, true],
    ['a current most of whose requests expire in line', 'current', 400, levels(200), 8, true],
    ['a current that only lets wait', 'current', 10_000, levels(400), 8, false],
    ['a current that promises little', 'current', 10_000, levels(100, 0.6), 1, true],
    ['a current that promises nothing', 'current', 10_000, levels(100, 1), 1, false],
    ['a candidate over its limit', 'candidate', 10_000, levels(100), 1, true],
    ['a candidate that no deadline lets through', 'candidate', 200, levels(10_000), 1, true],
    ['a candidate most of whose requests expire in line', 'candidate', 400, levels(200), 8, true],
    ['a candidate in time', 'candidate', 10_000, levels(400), 1, false],
  ] as const)('with %s', async (_, slot, deadlineMsMax, manifest, atOnce, leaves) => {
    let atMs = 0
    const plane = buildPlane({ nowMs: () => atMs, deadlineMsMax })
    const slow = buildLive(
      () => {
        atMs += SLOW
        return SCORES(0.9, 0.1)
      },
      { version: '2.0.0', manifest },
    )
    if (slot === 'current') plane.put(slow, { previous: high() })
    else plane.put(low(), { candidate: slow, trafficShare: 1_000_000 })
    for (let i = 0; i < 120 && plane.broke.length === 0; i++) {
      await Promise.all(Array.from({ length: atOnce }, () => ask(plane, { arrivedAtMs: atMs })))
    }
    const broke = leaves ? [{ version: '2.0.0', problem: { code: 'guard.latency' } }] : []
    expect(plane.broke).toMatchObject(broke)
  })

  it('leaves a failing release in place where there is nothing to fall back to', async () => {
    const plane = buildPlane()
    plane.put(failing())
    for (let i = 0; i < 100; i++) await ask(plane)
    expect(plane.broke).toEqual([])
    plane.put(failing(), { previous: low(), generation: 2 })
    for (let i = 0; i < 100; i++) await ask(plane)
    expect(plane.broke).toHaveLength(1)
  })
})
