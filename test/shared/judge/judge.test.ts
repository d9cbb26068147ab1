import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ArmCounts, armCounts, NO_COUNTS } from '../../../shared/judge/arm-counts.ts'
import { judge, type ProfileCounts } from '../../../shared/judge/judge.ts'
import { missingOf, missingSentence } from '../../../shared/judge/missing.ts'
import {
  type JudgePolicyInput,
  judgePolicySchema,
  policyWithServiceLevels,
} from '../../../shared/judge/policy.ts'
import { type Verdict, verdictSchema } from '../../../shared/judge/verdict.ts'
import { emptyWindow } from '../../../shared/sketch/window.ts'
import { recordLabel, recordRequest } from '../../../shared/sketch/window-record.ts'
import { someShape } from '../../fixtures/sketch-builders.ts'

/** `wrong` of `labelled` labels; everything else went well unless said. */
function arm(requests: number, more: Partial<ArmCounts> & { wrong?: number } = {}): ArmCounts {
  const { wrong = 0, ...counts } = more
  const labelled = counts.labelled ?? 0
  return { ...NO_COUNTS, requests, correct: labelled - wrong, ...counts }
}

interface Given {
  policy?: JudgePolicyInput
  profiles: readonly ProfileCounts[]
  stale?: boolean
  shadow?: 'none' | 'beside' | 'alone'
}
function judged({ policy = {}, profiles, stale = false, shadow = 'none' }: Given): Verdict {
  return judge({
    policy: judgePolicySchema.parse(policy),
    wave: 0,
    profiles,
    stale,
    shadow,
    latencyMsMax: 20,
  })
}
const healthy = arm(1000, { errors: 2, latencyBad: 3 })
const one = (canary: ArmCounts, baseline: ArmCounts | null = healthy): ProfileCounts[] => [
  { profile: 'bearing', baseline, canary },
]
const reasonOf = (verdict: Verdict, metric: string, profile = '*') =>
  verdict.reasons.find((reason) => reason.metric === metric && reason.profile === profile)!

describe('without enough data the judge holds', () => {
  it('and asks for 200 requests when there are none', () => {
    const verdict = judged({ profiles: one(NO_COUNTS) })
    expect(verdict.decision).toBe('hold')
    expect(reasonOf(verdict, 'error_rate').needed).toEqual({ unit: 'requests', count: 200 })
    expect(verdict.sentence).toBe(
      'No canary request was counted yet; about 200 more requests needed.',
    )
  })

  it('also when no profile is listed at all', () => {
    expect(judged({ profiles: [] }).decision).toBe('hold')
  })

  it('after 199 good requests, and promotes after 200', () => {
    expect(judged({ profiles: one(arm(199)) }).decision).toBe('hold')
    expect(judged({ profiles: one(arm(200)) }).decision).toBe('promote')
  })

  it('after 1 bad of 3 requests, and after 2 bad of 3', () => {
    expect(judged({ profiles: one(arm(3, { errors: 1 })) }).decision).toBe('hold')
    expect(judged({ profiles: one(arm(3, { errors: 2 })) }).decision).toBe('hold')
  })

  it('when one profile of the wave has counted nothing, and names it', () => {
    const profiles = [...one(arm(900)), { profile: 'kiosk', baseline: healthy, canary: NO_COUNTS }]
    const verdict = judged({ profiles })
    expect(verdict.decision).toBe('hold')
    expect(verdict.sentence).toMatch(/^kiosk: No canary request was counted yet; about 149 more/)
  })

  it('on stale data, however good they are', () => {
    const verdict = judged({ profiles: one(arm(5000)), stale: true })
    expect(verdict.decision).toBe('hold')
    expect(verdict.sentence).toContain('too old to promote on')
  })

  it('when a share is good but not surely within its limit, and says how many are missing', () => {
    // 3 of 300 is 1.0 %; up to 2.6 % could be true with 95 %.
    const verdict = judged({ profiles: one(arm(300, { errors: 3 })) })
    const reason = reasonOf(verdict, 'error_rate')
    expect(verdict.decision).toBe('hold')
    expect(reason.upper).toBeCloseTo(0.0256, 4)
    const more = reason.needed!.count
    const then = arm(300 + more, { errors: Math.round((300 + more) / 100) })
    expect(judged({ profiles: one(then) }).decision).toBe('promote')
  })
})

describe('the judge rolls back', () => {
  it('for too many errors, with the numbers', () => {
    const verdict = judged({ profiles: one(arm(120, { errors: 11 })) })
    expect(verdict.decision).toBe('rollback')
    expect(reasonOf(verdict, 'error_rate')).toMatchObject({
      outcome: 'breach',
      n: 120,
      bad: 11,
      limit: 0.02,
      baseline: { n: 1000, bad: 2 },
      needed: null,
    })
    expect(verdict.sentence).toBe(
      '11 of 120 canary requests failed (9.2 %) against 2 of 1,000 at baseline (0.20 %); ' +
        'the limit is 2.0 %.',
    )
  })

  it('for too many slow requests in one profile that the others hide', () => {
    const slow = {
      profile: 'int8-gateway',
      baseline: healthy,
      canary: arm(100, { latencyBad: 30 }),
    }
    const verdict = judged({ profiles: [...one(arm(5000)), slow] })
    expect(verdict.decision).toBe('rollback')
    expect(reasonOf(verdict, 'latency').outcome).toBe('pass')
    expect(verdict.sentence).toBe(
      'int8-gateway: 30 of 100 canary requests took over 20 ms (30.0 %) against 3 of 1,000 at ' +
        'baseline (0.30 %); the limit is 5.0 %.',
    )
  })

  it('for a drop of accuracy, even on stale data', () => {
    const baseline = arm(2000, { labelled: 1254, wrong: 22 })
    const canary = arm(312, { labelled: 312, wrong: 41 })
    const verdict = judged({ profiles: one(canary, baseline), stale: true })
    expect(verdict.decision).toBe('rollback')
    expect(reasonOf(verdict, 'quality').value).toBeCloseTo(41 / 312 - 22 / 1254, 12)
    expect(verdict.sentence).toBe(
      '41 of 312 canary answers were wrong (13.1 %) against 22 of 1,254 at baseline (1.8 %); ' +
        'the limit for the drop is 5.0 points.',
    )
  })

  it('even when the baseline is as bad, and then says environment', () => {
    const bad = { errors: 100 }
    const verdict = judged({ profiles: one(arm(1000, bad), arm(1000, bad)) })
    expect(verdict.decision).toBe('rollback')
    expect(verdict.sentence).toContain('environment rather than model')
  })
})

describe('quality', () => {
  const labels = { labelled: 400, wrong: 8 }

  it('passes when the drop is surely within its limit', () => {
    const verdict = judged({ profiles: one(arm(400, labels), arm(400, labels)) })
    expect(verdict.decision).toBe('promote')
    expect(reasonOf(verdict, 'quality').upper).toBeLessThan(0.05)
  })

  it('holds with labels on one side only, and counts what is missing', () => {
    const verdict = judged({ profiles: one(arm(400), arm(400, labels)) })
    expect(verdict.decision).toBe('hold')
    expect(reasonOf(verdict, 'quality').needed).toMatchObject({ unit: 'labels' })
  })

  it('without any label blocks only where labels are required', () => {
    const profiles = one(arm(400))
    const free = judged({ profiles })
    expect(free.decision).toBe('promote')
    expect(reasonOf(free, 'quality').outcome).toBe('not_judged')
    expect(judged({ profiles, policy: { labels: 'required' } }).decision).toBe('hold')
  })

  it('is not judged for the first release of a model: there is nothing to drop from', () => {
    const verdict = judged({ profiles: one(arm(400, labels), null) })
    expect(verdict.decision).toBe('promote')
    expect(reasonOf(verdict, 'quality').sentence).toContain('no baseline')
  })
})

describe('shadow runs', () => {
  const shadowed = (shadowCompared: number, shadowDisagreed: number, requests = 0) =>
    one(arm(requests, { shadowCompared, shadowDisagreed }))

  it('alone decide a wave that serves nobody: hold, promote, roll back', () => {
    const hold = judged({ profiles: shadowed(0, 0), shadow: 'alone' })
    expect(hold.decision).toBe('hold')
    expect(hold.sentence).toBe('No shadow run was compared yet; about 200 more comparisons needed.')
    expect(judged({ profiles: shadowed(199, 0), shadow: 'alone' }).decision).toBe('hold')
    expect(judged({ profiles: shadowed(200, 20), shadow: 'alone' }).decision).toBe('promote')
    expect(judged({ profiles: shadowed(200, 60), shadow: 'alone' }).decision).toBe('rollback')
  })

  it('have to suffice for each profile', () => {
    const few = { profile: 'kiosk', baseline: healthy, canary: arm(0, { shadowCompared: 49 }) }
    const verdict = judged({ profiles: [...shadowed(900, 9), few], shadow: 'alone' })
    expect(verdict.decision).toBe('hold')
    expect(verdict.sentence).toMatch(/^kiosk: 0 of 49 .* about 1 more comparison needed\.$/)
  })

  it('beside requests roll back, and never keep a wave waiting', () => {
    const beside = (compared: number, disagreed: number) =>
      judged({ profiles: shadowed(compared, disagreed, 400), shadow: 'beside' })
    expect(beside(400, 200).decision).toBe('rollback')
    expect(beside(10, 4).decision).toBe('promote')
    expect(reasonOf(beside(10, 4), 'shadow').outcome).toBe('not_judged')
  })

  it('say nothing where the wave asks for none', () => {
    const verdict = judged({ profiles: shadowed(400, 400, 400) })
    expect(verdict.reasons.map(({ metric }) => metric)).not.toContain('shadow')
  })
})

describe('the policy', () => {
  it('judges only what has a limit, and refuses to judge nothing', () => {
    const verdict = judged({
      policy: { errorRateMax: null, qualityDropMax: null },
      profiles: one(arm(400, { errors: 400 })),
    })
    expect(verdict.reasons.map(({ metric }) => metric)).toEqual(['latency'])
    const nothing = { errorRateMax: null, latencyBadShareMax: null, qualityDropMax: null }
    expect(judgePolicySchema.safeParse(nothing).success).toBe(false)
  })

  it('lets a limit of 1 allow everything', () => {
    const policy = { errorRateMax: 1, latencyBadShareMax: null, qualityDropMax: null }
    const profiles = one(arm(400, { errors: 400 }))
    expect(judged({ policy, profiles }).decision).toBe('promote')
  })

  it('takes its limits from the release where it has none of its own', () => {
    const levels = {
      latencyMsMax: 10,
      errorRateMax: 0.001,
      latencyBadShareMax: 0.002,
      qualityDropMax: 0.003,
    }
    const given = policyWithServiceLevels({ errorRateMax: 0.5 }, levels)
    expect(judgePolicySchema.parse(given)).toMatchObject({
      errorRateMax: 0.5,
      latencyBadShareMax: 0.002,
      qualityDropMax: 0.003,
      minRequests: 200,
    })
  })
})

describe('what would decide it', () => {
  it('stands in every reason that is undecided, and holds when it comes true', () => {
    const anyShare = fc.record({
      n: fc.integer({ min: 1, max: 800 }),
      share: fc.double({ min: 0, max: 0.1, noNaN: true }),
    })
    fc.assert(
      fc.property(anyShare, ({ n, share }) => {
        const bad = Math.round(n * share)
        const reason = reasonOf(judged({ profiles: one(arm(n, { errors: bad })) }), 'error_rate')
        const { needed, badUntilBreach, outcome } = reason
        if (needed !== null) {
          const errors = Math.max(bad, Math.round(((n + needed.count) * bad) / n))
          const then = judged({ profiles: one(arm(n + needed.count, { errors })) })
          expect(reasonOf(then, 'error_rate').outcome).not.toBe('undecided')
        }
        expect(badUntilBreach === null).toBe(outcome === 'breach')
        if (badUntilBreach === null) return
        const outcomeWith = (more: number) =>
          reasonOf(judged({ profiles: one(arm(n + more, { errors: bad + more })) }), 'error_rate')
        expect(outcomeWith(badUntilBreach).outcome).toBe('breach')
        expect(outcomeWith(badUntilBreach - 1).outcome).not.toBe('breach')
      }),
      { numRuns: 100 },
    )
  })

  it('is listed for every profile that lacks something, and for each unit', () => {
    const labelled = { labelled: 20, wrong: 0 }
    const profiles = [
      { profile: 'kiosk', baseline: healthy, canary: NO_COUNTS },
      { profile: 'press', baseline: arm(500, labelled), canary: arm(30, labelled) },
    ]
    const verdict = judged({ profiles })
    expect(missingOf(verdict).map(({ profile, needed }) => [profile, needed?.unit])).toEqual([
      ['*', 'labels'],
      ['*', 'requests'],
      ['kiosk', 'requests'],
      ['press', 'labels'],
      ['press', 'requests'],
    ])
    expect(missingSentence(verdict)).toMatch(/Missing besides: .*about 149 more requests of kiosk/)
  })
})

describe('from windows', () => {
  it('every kind of error, slow request and label reaches the verdict', () => {
    const shape = someShape()
    const window = emptyWindow(shape)
    for (let i = 0; i < 30; i++) {
      const error = i % 3 === 0 ? 'crashed' : i % 3 === 1 ? 'timeout' : undefined
      recordRequest(window, shape, { error, latencyMs: { total: i } })
      recordLabel(window, 0, i % 2)
    }
    expect(armCounts(window)).toEqual({
      requests: 30,
      errors: 20,
      latencyBad: 9,
      labelled: 30,
      correct: 15,
      shadowCompared: 0,
      shadowDisagreed: 0,
    })
  })
})

const anyArm = fc
  .record({ requests: fc.nat(600), labelled: fc.nat(600), compared: fc.nat(600) })
  .chain(({ requests, labelled, compared }) =>
    fc.record({
      requests: fc.constant(requests),
      errors: fc.nat(requests),
      latencyBad: fc.nat(requests),
      labelled: fc.constant(labelled),
      correct: fc.nat(labelled),
      shadowCompared: fc.constant(compared),
      shadowDisagreed: fc.nat(compared),
    }),
  )
const anyProfiles = fc.uniqueArray(
  fc.record({
    profile: fc.constantFrom('a', 'b', 'c', 'd'),
    baseline: fc.option(anyArm),
    canary: anyArm,
  }),
  { selector: ({ profile }) => profile, maxLength: 4 },
)
const RUNS = { numRuns: 150 }

describe('whatever the counts', () => {
  it('the verdict is a valid document, and the same each time and in every order', () => {
    fc.assert(
      fc.property(anyProfiles, fc.boolean(), (profiles, stale) => {
        const verdict = judged({ profiles, stale })
        expect(verdictSchema.parse(verdict)).toEqual(verdict)
        expect(judged({ profiles: profiles.toReversed(), stale })).toEqual(verdict)
      }),
      RUNS,
    )
  })

  it('more bad canary events never turn a rollback into a promotion', () => {
    const extra = fc.record({ errors: fc.nat(300), latencyBad: fc.nat(300), wrong: fc.nat(300) })
    fc.assert(
      fc.property(anyProfiles, extra, (profiles, more) => {
        const worse = profiles.map(({ canary, ...rest }) => ({
          ...rest,
          canary: {
            ...canary,
            errors: Math.min(canary.requests, canary.errors + more.errors),
            latencyBad: Math.min(canary.requests, canary.latencyBad + more.latencyBad),
            correct: Math.max(0, canary.correct - more.wrong),
          },
        }))
        if (judged({ profiles }).decision === 'rollback') {
          expect(judged({ profiles: worse }).decision).toBe('rollback')
        }
      }),
      RUNS,
    )
  })

  it('a profile without canary requests never lets a wave be promoted', () => {
    fc.assert(
      fc.property(anyProfiles, (profiles) => {
        const silent = { profile: 'silent', baseline: null, canary: NO_COUNTS }
        expect(judged({ profiles: [...profiles, silent] }).decision).not.toBe('promote')
        expect(judged({ profiles, stale: true }).decision).not.toBe('promote')
      }),
      RUNS,
    )
  })
})
