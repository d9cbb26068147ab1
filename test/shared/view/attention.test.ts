/** What needs a person: which lines, in which order, and that equal troubles share one. */
import { describe, expect, it } from 'vitest'
import { attentionOf } from '../../../shared/view/attention.ts'
import { device, health, MODEL, report, rollout, slot } from '../../console/fleet-builder.ts'

const DAY_MS = 86_400_000

const failing = (name: string, code: string) =>
  device(name, {
    report: report([slot('current', '1.0.0')], {
      status: 'degraded',
      failures: [
        {
          model: MODEL,
          version: '1.1.0',
          sha256: slot('current', '1.1.0').sha256,
          problem: { code, message: `It failed by ${code}.` },
        },
      ],
    }),
  })

const lost = (name: string) =>
  device(name, { presence: { status: 'lost', boot: 'b', sinceMs: 1_000 } })

const attention = (fleet: Partial<Parameters<typeof attentionOf>[0]>, nowMs = Date.now()) =>
  attentionOf({ devices: [], rollouts: [], health: null, ...fleet }, nowMs)

describe('what needs a person', () => {
  it('is nothing while every device serves and no rollout waits', () => {
    const devices = [device('a'), device('b')]
    const rollouts = [rollout('r-1'), rollout('r-2', { state: 'promoted' })]
    expect(attention({ devices, rollouts, health: health(devices) })).toEqual([])
  })

  it('tells a missing root of trust before there is anything else', () => {
    const [item] = attention({ health: { ...health([]), rootVersion: null } })
    expect(item).toMatchObject({ about: { kind: 'trust' }, cli: 'linnet key new' })
  })

  it('puts what went wrong before what merely waits, each with the command to type', () => {
    const rollouts = [
      rollout('r-paused', { state: 'paused' }),
      rollout('r-back', { state: 'rolled_back', endedAtMs: Date.now() }),
      rollout('r-asks', { state: 'awaiting_approval' }),
    ]
    expect(attention({ rollouts }).map(({ cli }) => cli)).toEqual([
      'linnet rollout why r-back',
      'linnet rollout resume r-paused',
      'linnet rollout approve r-asks',
    ])
  })

  it('forgets a rollback after a day', () => {
    const nowMs = Date.now()
    const rollouts = [rollout('r-1', { state: 'rolled_back', endedAtMs: nowMs })]
    expect(attention({ rollouts }, nowMs + DAY_MS)).toHaveLength(1)
    expect(attention({ rollouts }, nowMs + DAY_MS + 1)).toEqual([])
  })

  it('gives devices that fail the same release alike one line, others their own', () => {
    const devices = [failing('a', 'x.one'), failing('b', 'x.one'), failing('c', 'x.two')]
    expect(attention({ devices }).map(({ subject, sentence }) => [subject, sentence])).toEqual([
      ['2 devices', `${MODEL}@1.1.0: It failed by x.one.`],
      ['c', `${MODEL}@1.1.0: It failed by x.two.`],
    ])
  })

  it('counts lost devices on one line, since the newest of them went', () => {
    const [item] = attention({ devices: [lost('a'), lost('b')] })
    expect(item).toMatchObject({
      subject: '2 devices',
      atMs: 1_000,
      about: { kind: 'devices', ids: ['a', 'b'], state: 'lost' },
    })
  })

  it('tells notices of the last hour that no other line tells', () => {
    const nowMs = Date.now()
    const notice = (kind: 'host_restarted' | 'release_failed', atMs: number) => ({
      kind,
      atMs,
      subject: MODEL,
      problem: { code: 'x.y', message: 'The model host was started again.' },
    })
    const devices = [
      device('a', { notices: [notice('host_restarted', nowMs - 60_000)] }),
      device('b', { notices: [notice('host_restarted', nowMs - 3_600_001)] }),
      device('c', { notices: [notice('release_failed', nowMs)] }),
    ]
    expect(attention({ devices }, nowMs)).toMatchObject([
      { subject: 'a', status: { word: 'host restarted' }, about: { state: 'host_restarted' } },
    ])
  })
})
