/** A fleet in the middle of its story: one rollout promoted, one rolled back, one moving, one waiting. */
import type { DeviceResource } from '../../shared/api/resources.ts'
import type { Fleet } from './console-server.ts'
import {
  cell,
  counts,
  decision,
  desired,
  device,
  evidenceOf,
  MODEL,
  PROFILES,
  release,
  report,
  rollout,
  slot,
  verdictOf,
} from './fleet-builder.ts'

const MINUTE_MS = 60_000

const [PI, JETSON, N100, ZERO] = PROFILES as [string, string, string, string]

/** 1.2.0: wrong on one class everywhere, slow on the smallest profile. */
const BAD_COUNTS = [
  counts(PI, [812, 2, 9, 280, 271], [268, 1, 4, 96, 74]),
  counts(JETSON, [640, 1, 3, 210, 203], [214, 0, 2, 70, 55]),
  counts(N100, [598, 0, 2, 190, 184], [190, 0, 1, 61, 49]),
  counts(ZERO, [702, 3, 18, 230, 222], [229, 2, 71, 78, 61]),
]
const GOOD_COUNTS = [
  counts(PI, [1_912, 3, 20, 620, 598], [640, 1, 5, 210, 205]),
  counts(JETSON, [1_640, 2, 12, 540, 520], [548, 0, 3, 180, 176]),
  counts(ZERO, [1_120, 4, 31, 360, 345], [371, 1, 9, 121, 118]),
]

export function storyFleet(): Fleet {
  const nowMs = Date.now()
  const names = Array.from({ length: 24 }, (_, i) => `motor-${String(i + 1).padStart(2, '0')}`)
  const bad = verdictOf(BAD_COUNTS, 1)
  const good = verdictOf(GOOD_COUNTS, 1)
  const spec = (candidate: string, baseline: string) => ({
    ...rollout('r').spec,
    candidate,
    baseline,
  })
  const undecided = good.reasons.find(({ outcome }) => outcome === 'undecided')
  return {
    devices: names.map(storyDevice),
    releases: [
      release('1.0.0', { stage: 'archived', devices: 3 }),
      release('1.1.0', { stage: 'production', devices: 16 }),
      release('1.2.0', { stage: 'registered' }),
      release('1.3.0', { stage: 'staging', devices: 6 }),
    ],
    rollouts: [
      rollout('r-7f3a', {
        state: 'promoted',
        wave: 3,
        reason: {
          code: 'promoted',
          sentence: `All waves passed: ${good.reasons[0]!.sentence}`,
        },
        verdict: verdictOf(GOOD_COUNTS, 3),
        devices: names.map((name) => cell(name, { inCohort: false })),
        createdAtMs: nowMs - 150 * MINUTE_MS,
        startedAtMs: nowMs - 149 * MINUTE_MS,
        endedAtMs: nowMs - 120 * MINUTE_MS,
        totals: { canaryRequests: 18_211, canaryBad: 71 },
      }),
      rollout('r-91bc', {
        spec: spec('1.2.0', '1.1.0'),
        state: 'rolled_back',
        wave: 1,
        reason: { code: 'guardrail', sentence: bad.sentence },
        verdict: bad,
        evidence: evidenceOf(BAD_COUNTS),
        devices: names.map((name) => cell(name, { inCohort: false, candidate: 'absent' })),
        createdAtMs: nowMs - 61 * MINUTE_MS,
        startedAtMs: nowMs - 60 * MINUTE_MS,
        endedAtMs: nowMs - 52 * MINUTE_MS,
        totals: { canaryRequests: 901, canaryBad: 143 },
      }),
      rollout('r-c204', {
        spec: spec('1.3.0', '1.1.0'),
        reason: {
          code: 'observing',
          sentence: `Wave 2 of 4: 6 of 24 devices serve it; ${undecided?.sentence ?? good.sentence}`,
        },
        verdict: good,
        evidence: evidenceOf(GOOD_COUNTS),
        devices: names.map(storyCell),
        totals: { canaryRequests: 1_559, canaryBad: 31 },
      }),
      rollout('r-e8d0', {
        spec: { ...spec('1.3.1', '1.3.0'), approvals: 2 },
        state: 'awaiting_approval',
        wave: 0,
        wavePhase: 'starting',
        reason: { code: 'created', sentence: 'Created by ada.' },
        approvedBy: ['lin'],
        startedAtMs: null,
        waveStartedAtMs: null,
        createdAtMs: nowMs - 3 * MINUTE_MS,
        devices: names.map((name) => cell(name, { inCohort: false, candidate: 'absent' })),
      }),
    ],
    decisions: [
      decision(1, 'r-c204', {
        actor: 'ada',
        action: 'start',
        from: 'ready',
        to: 'running',
        reason: { code: 'started', sentence: 'Started by ada.' },
      }),
      ...[1, 2, 3].map((part) => {
        const scaled = GOOD_COUNTS.map((c) => scale(c, part / 4))
        return decision(9 + part, 'r-c204', {
          wave: part === 3 ? 1 : 0,
          verdict: verdictOf(scaled),
          inputs: evidenceOf(scaled),
          reason: { code: 'wave_passed', sentence: verdictOf(scaled).sentence },
        })
      }),
      decision(5, 'r-91bc', {
        action: 'rollback',
        to: 'rolling_back',
        verdict: bad,
        inputs: evidenceOf(BAD_COUNTS),
        reason: { code: 'guardrail', sentence: bad.sentence },
      }),
      decision(6, 'r-91bc', {
        action: 'rolled_back',
        from: 'rolling_back',
        to: 'rolled_back',
        reason: { code: 'guardrail', sentence: bad.sentence },
      }),
    ],
  }
}

function scale(entry: ReturnType<typeof counts>, by: number): ReturnType<typeof counts> {
  const arm = (from: NonNullable<typeof entry.baseline>) =>
    Object.values(from).map((n) => Math.round(n * by))
  return counts(entry.profile, arm(entry.baseline!), arm(entry.canary))
}

function storyCell(name: string, i: number) {
  if (i === 5) return cell(name, { candidate: 'failed', failureCode: 'qualify.golden_mismatch' })
  if (i === 7) return cell(name, { candidate: 'absent', online: false })
  if (i === 6) return cell(name, { candidate: 'installing' })
  return i < 8 ? cell(name) : cell(name, { candidate: 'absent', inCohort: false })
}

function storyDevice(name: string, i: number): DeviceResource {
  const nowMs = Date.now()
  const base = {
    desired: [desired('1.1.0')],
    qualifications: [],
    report: report([slot('current', '1.1.0'), slot('previous', '1.0.0')]),
  }
  if (i < 5) {
    return device(name, {
      desired: [desired('1.1.0', '1.3.0')],
      report: report([
        slot('current', '1.1.0'),
        slot('candidate', '1.3.0'),
        slot('previous', '1.0.0'),
      ]),
    })
  }
  if (i === 5) {
    return device(name, {
      desired: [desired('1.1.0', '1.3.0')],
      converged: false,
      report: report([slot('current', '1.1.0')], {
        status: 'degraded',
        failures: [
          {
            model: MODEL,
            version: '1.3.0',
            sha256: slot('current', '1.3.0').sha256,
            problem: {
              code: 'qualify.golden_mismatch',
              message: 'Golden vector 3 came out differently on every provider that was tried.',
              expected: 'logits within 0.001 of the golden output',
              found: 'a difference of 0.0182 on cpu',
              next: 'linnet release show motor-vibration@1.3.0',
            },
          },
        ],
      }),
      notices: [
        {
          kind: 'release_failed',
          atMs: nowMs - 4 * MINUTE_MS,
          subject: `${MODEL}@1.3.0`,
          problem: {
            code: 'qualify.golden_mismatch',
            message: 'Golden vector 3 came out differently.',
          },
        },
      ],
    })
  }
  if (i === 6) {
    const job = { model: MODEL, version: '1.3.0', phase: 'fetching' as const }
    return device(name, {
      ...base,
      desired: [desired('1.1.0', '1.3.0')],
      converged: false,
      report: report([slot('current', '1.1.0')], { status: 'working', job }),
    })
  }
  if (i === 7) {
    const presence = { status: 'lost' as const, boot: 'boot-1', sinceMs: nowMs - 9 * MINUTE_MS }
    return device(name, { ...base, presence, lastSeenMs: nowMs - 9 * MINUTE_MS })
  }
  if (i > 20) return device(name, { desired: [desired('1.0.0')] })
  return device(name, base)
}
