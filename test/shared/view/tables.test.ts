/** What people read, as text tables: console and CLI render the same rows. */
import { describe, expect, test } from 'vitest'
import type { RolloutResource } from '../../../shared/api/resources.ts'
import { deviceDetail, deviceTable, slotTable } from '../../../shared/view/device-view.ts'
import { fleetView } from '../../../shared/view/fleet-view.ts'
import { releaseTable } from '../../../shared/view/release-view.ts'
import { rolloutPlan } from '../../../shared/view/rollout-plan.ts'
import {
  decisionTable,
  metricTable,
  rolloutDetail,
  rolloutTable,
  waveTable,
} from '../../../shared/view/rollout-view.ts'
import { textTable } from '../../../shared/view/text-table.ts'
import {
  deviceResource,
  healthResource,
  NOW_MS,
  releaseResource,
  rolloutResource,
  slot,
} from '../../fixtures/resource-builders.ts'

const show = (table: Parameters<typeof textTable>[0]) => `\n${textTable(table, { empty: '-' })}\n`

const cell = (device: string, more: Partial<RolloutResource['devices'][number]> = {}) => ({
  device,
  profile: 'raspberry-pi-5',
  inCohort: true,
  online: true,
  candidate: 'serving' as const,
  failureCode: null,
  ...more,
})

const verdict: NonNullable<RolloutResource['verdict']> = {
  decision: 'rollback',
  wave: 1,
  sentence: 'Latency is over its limit on raspberry-pi-zero-2w.',
  reasons: [
    {
      metric: 'latency',
      profile: 'raspberry-pi-zero-2w',
      outcome: 'breach',
      value: 0.731,
      limit: 0.05,
      lower: 0.52,
      upper: 0.87,
      n: 26,
      bad: 19,
      baseline: { n: 44, bad: 1 },
      needed: null,
      badUntilBreach: null,
      sentence: '19 of 26 requests took over 10 ms.',
    },
    {
      metric: 'error_rate',
      profile: '*',
      outcome: 'undecided',
      value: 0,
      limit: 0.02,
      lower: 0,
      upper: 0.04,
      n: 140,
      bad: 0,
      baseline: null,
      needed: { unit: 'requests', count: 60 },
      badUntilBreach: 4,
      sentence: 'No errors in 140 requests.',
    },
  ],
}

const judged = rolloutResource({
  id: 'r-2',
  state: 'rolling_back',
  wave: 1,
  verdict,
  reason: { code: 'guardrail', sentence: '19 of 26 requests took over 10 ms.' },
  devices: [
    cell('press-1'),
    cell('pump-1', { online: false }),
    cell('pump-2', { candidate: 'failed', failureCode: 'golden.differs' }),
    cell('fan-1', { candidate: 'absent' }),
    cell('fan-2', { candidate: 'absent', inCohort: false }),
  ],
})

describe('rollouts', () => {
  test('one line each, what waits for a person first', () => {
    const rollouts = [judged, rolloutResource({ id: 'r-1', state: 'paused', createdAtMs: 0 })]
    expect(show(rolloutTable(rollouts, NOW_MS))).toMatchInlineSnapshot(`
      "
      ROLLOUT  MODEL  RELEASE         STATE           WAVE  DEVICES  VERDICT     AGE          REASON
      r-1      motor  1.1.0 <- 1.0.0  ‖ paused        1/2   -        · none yet  20458 d ago  Wave 1 of 2: 2 of 8 devices serve it.
      r-2      motor  1.1.0 <- 1.0.0  ◀ rolling back  2/2   2/4      ✗ rollback  10 min ago   19 of 26 requests took over 10 ms.
      "
    `)
  })
  test('in detail: waves, metrics, devices, failures and what a command would do', () => {
    const detail = rolloutDetail(judged, NOW_MS)
    expect(show(waveTable(detail.waves))).toMatchInlineSnapshot(`
      "
      WAVE  STATE           DEVICES           TRAFFIC           TIME
      1     ✓ passed        25 % of devices   25 % of requests  at most 1 d
      2     ◀ rolling back  100 % of devices  90 % of requests  at most 1 d
      "
    `)
    expect(show(metricTable(detail.metrics))).toMatchInlineSnapshot(`
      "
      METRIC      PROFILE               OUTCOME           CANARY  BASELINE  LIMIT  BAD       BECAUSE
      latency     raspberry-pi-zero-2w  ✗ over the limit  73 %    2.3 %     5 %    19 of 26  19 of 26 requests took over 10 ms.
      error rate  all profiles          … undecided       0 %     -         2 %    0 of 140  No errors in 140 requests.
      "
    `)
    expect(
      detail.strip.map((s) => `${s.device} ${s.status.glyph} ${s.status.word}`),
    ).toMatchInlineSnapshot(`
      [
        "press-1 ✓ serves it",
        "pump-1 ✓ serves it",
        "pump-2 ✗ failed",
        "fan-1 … awaiting",
        "fan-2 · not in this wave",
      ]
    `)
    expect(detail.failures).toEqual([{ code: 'golden.differs', devices: ['pump-2'] }])
    expect(detail.actions).toContainEqual({
      command: 'rollback',
      effect: '2 devices go back to 1.0.0; 1 is offline and will follow',
      cli: 'linnet rollout rollback r-2',
    })
  })
  test.each([
    [{ state: 'ready' as const }, 'linnet rollout start r-7f3a'],
    [{ verdict: { ...verdict, reasons: verdict.reasons.slice(1) } }, 'about 60 more requests'],
    [{ wave: 1 }, 'If it passes, it is promoted; undecided in 23 h, it pauses for a person.'],
    [
      { verdict: { ...verdict, reasons: verdict.reasons.slice(1) } },
      '4 more failed requests in a row roll it back; undecided in',
    ],
    [{ state: 'paused' as const }, 'linnet rollout resume r-7f3a'],
    [{ state: 'promoted' as const }, 'It is over.'],
  ])('says what comes next: %#', (more, text) => {
    expect(rolloutDetail(rolloutResource(more), NOW_MS).next).toContain(text)
  })
  test('its history says who decided what and why', () => {
    const decision = {
      id: 1,
      rollout: 'r-2',
      atMs: NOW_MS - 60_000,
      actor: 'controller',
      action: 'rollback',
      from: 'running' as const,
      to: 'rolling_back' as const,
      wave: 1,
      reason: { code: 'guardrail', sentence: '19 of 26 requests took over 10 ms.' },
      verdict,
      inputsDigest: '',
      inputs: [],
    }
    expect(show(decisionTable([decision], NOW_MS))).toMatchInlineSnapshot(`
      "
      WHEN       BY          ACTION    WAVE  STATE           BECAUSE
      1 min ago  controller  rollback  2     ◀ rolling back  19 of 26 requests took over 10 ms.
      "
    `)
  })
  test('a plan in numbers before it is created', () => {
    const devices = [
      deviceResource(),
      deviceResource({ device: 'press-2', presence: null }),
      deviceResource({ device: 'press-3' }),
    ]
    const plan = rolloutPlan(rolloutResource().spec, devices)
    expect(plan.sentence).toBe(
      'motor: 1.0.0 to 1.1.0 on 3 devices of 1 profile, 1 of them offline.',
    )
    expect(show(plan.waves)).toMatchInlineSnapshot(`
      "
      WAVE  DEVICES         REQUESTS  TIME         EVIDENCE
      1     about 1 (25 %)  25 %      at most 1 d  200 requests, 50 of each profile
      2     3 (100 %)       90 %      at most 1 d  200 requests, 50 of each profile
      "
    `)
    expect(rolloutPlan(rolloutResource().spec, []).warnings).toContain(
      'No device matches the targets.',
    )
  })
})

describe('devices', () => {
  const degraded = deviceResource({
    device: 'pump-2',
    converged: false,
    report: {
      ...deviceResource().report!,
      status: 'degraded',
      failures: [
        {
          model: 'motor',
          version: '1.2.0',
          sha256: 'f'.repeat(64),
          problem: { code: 'golden.differs', message: 'The outputs differ from the golden ones.' },
        },
      ],
    },
  })
  const canary = deviceResource({
    device: 'fan-1',
    converged: false,
    desired: [
      {
        model: 'motor',
        current: '1.0.0',
        candidate: '1.1.0',
        trafficShare: 250_000,
        shadow: 0,
        rollout: { id: 'r-1', wave: 0 },
      },
    ],
    report: {
      ...deviceResource().report!,
      slots: [slot('current', '1.0.0', 1_000_000), slot('previous', '0.9.0')],
    },
  })
  test('one line each, worst first', () => {
    const lost = deviceResource({
      device: 'gone',
      presence: { status: 'lost', boot: 'b', sinceMs: 0 },
      report: null,
    })
    const table = deviceTable([deviceResource(), canary, lost, degraded], NOW_MS)
    expect(show(table)).toMatchInlineSnapshot(`
      "
      DEVICE   PROFILE         STATE       SEEN     LABELS       SERVES
      pump-2   raspberry-pi-5  ✗ degraded  4 s ago  site=hall-1  motor 1.0.0
      gone     raspberry-pi-5  ✗ lost      4 s ago  site=hall-1  nothing
      fan-1    raspberry-pi-5  ▶ updating  4 s ago  site=hall-1  motor 1.0.0
      press-1  raspberry-pi-5  ✓ serving   4 s ago  site=hall-1  motor 1.0.0
      "
    `)
  })
  test('desired beside reported', () => {
    expect(show(slotTable(deviceDetail(canary, NOW_MS).slots))).toMatchInlineSnapshot(`
      "
      MODEL  SLOT       DESIRED        REPORTED             STATE
      motor  current    1.0.0          1.0.0 (fp32 on cpu)  ✓ as desired
      motor  candidate  1.1.0 at 25 %  -                    ▶ differs
      motor  previous   -              0.9.0 (fp32 on cpu)  · kept
      "
    `)
    expect(deviceDetail(degraded, NOW_MS).failures.rows).toEqual([
      ['motor@1.2.0', 'golden.differs', 'The outputs differ from the golden ones.'],
    ])
  })
  test('the fleet says first what needs a person', () => {
    const fleet = { devices: [degraded, canary, deviceResource()], health: healthResource() }
    const rollouts = [rolloutResource({ state: 'paused' }), judged]
    const view = fleetView({ ...fleet, rollouts }, NOW_MS)
    expect(view.headline).toBe('3 things wait for you.')
    expect(view.attention.map(({ cli }) => cli)).toEqual([
      'linnet rollout why r-2',
      'linnet device show pump-2',
      'linnet rollout resume r-7f3a',
    ])
    expect(view.releasesInUse).toEqual([{ release: 'motor@1.0.0', devices: 3 }])
    const quiet = fleetView({ devices: [], rollouts: [], health: healthResource() }, NOW_MS)
    expect(quiet.headline).toBe('Nothing waits for you: 7 devices of 8 online.')
  })
})

test('releases', () => {
  const releases = [releaseResource(), releaseResource({ version: '1.1.0', stage: 'registered' })]
  expect(show(releaseTable(releases, NOW_MS))).toMatchInlineSnapshot(`
    "
    RELEASE      STAGE         DEVICES  VARIANTS  SIGNED  PUBLISHED  DESCRIPTION
    motor@1.0.0  ✓ production  8        fp32      1 key   2 h ago    Classifies the vibration of motors.
    motor@1.1.0  ○ registered  8        fp32      1 key   2 h ago    Classifies the vibration of motors.
    "
  `)
})

describe('text tables', () => {
  const table = { columns: ['A', 'LONG'], rows: [['x', 'a sentence that does not fit']] }
  test('the last column is cut to the terminal, with an ellipsis', () => {
    expect(textTable(table, { empty: '', widthMax: 12 })).toBe('A  LONG\nx  a senten…')
  })
  test('nothing is said in words, not as an empty table', () => {
    expect(textTable({ columns: ['A'], rows: [] }, { empty: 'No rollouts.' })).toBe('No rollouts.')
  })
  test('colour comes around padded text, so that columns stay aligned', () => {
    const row = [{ word: 'ready', glyph: '○', tone: 'idle' as const }, 'end']
    const text = textTable(
      { columns: ['STATE', 'B'], rows: [row] },
      { empty: '', paint: (tone, t) => `<${tone}>${t}</>` },
    )
    expect(text).toBe('STATE    B\n<idle>○ ready</>  end')
  })
})
