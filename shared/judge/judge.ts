/**
 * judge(): where a rollout decides to promote, to roll back, or to wait. A pure function of merged
 * counts and the rollout's policy; the same input gives the same verdict, whatever the order of the
 * profiles.
 *
 * Roll back when, for any metric, all profiles together or any one of them are surely over a limit:
 * the lower bound lies above it and at least `minBadEvents` were bad. Promote when every metric,
 * for all together and for each profile, is surely within it. Hold otherwise, and say what is
 * missing.
 * Invariant: without canary requests, or on stale data, never `promote`.
 *
 * The chance of a false rollback (1 - rollbackConfidence) is divided by weight among the metrics,
 * then half to the pooled test and half among the profiles, so that a fault in one small profile is
 * found and many profiles do not add up to many false alarms (Bonferroni). For passing no division
 * is needed: all tests must pass (intersection-union). These bounds hold for one look (bounds.ts).
 *
 * The caller counts the baseline on the same devices as the canary: both arms then meet the same
 * load, data and time of day.
 */
import { type ArmCounts, addArms } from './arm-counts.ts'
import { judgeQuality, judgeShadow, judgeShare, type Test } from './metrics.ts'
import type { JudgePolicy } from './policy.ts'
import { reasonSentence } from './sentence.ts'
import type { Verdict, VerdictReason } from './verdict.ts'

export type { Verdict } from './verdict.ts'

/** What one firmware profile of the wave has counted since the wave started. */
export interface ProfileCounts {
  readonly profile: string
  /** null where no release served before. */
  readonly baseline: ArmCounts | null
  readonly canary: ArmCounts
}

export interface JudgeInput {
  readonly policy: JudgePolicy
  /** 0 for the first wave. */
  readonly wave: number
  /** Every profile of the wave, also those that have counted nothing yet. */
  readonly profiles: readonly ProfileCounts[]
  /** The newest window is older than the caller allows. */
  readonly stale: boolean
  /**
   * Whether the candidate computes in the shadow of the serving release: not at all, beside serving
   * its share of requests, or alone. Alone it serves nobody, and is judged by comparisons only.
   */
  readonly shadow?: 'none' | 'beside' | 'alone'
  /** The candidate's latency limit, for the sentences alone. */
  readonly latencyMsMax?: number | undefined
}

export function judge(input: JudgeInput): Verdict {
  const reasons = scopes(input)
    .flatMap((scope) => judgeScope(scope, input))
    .toSorted(byUrgency)
  if (input.stale) reasons.push(staleReason())
  const decision = decide(reasons)
  return { decision, wave: input.wave, sentence: headline(decision, reasons), reasons }
}

function decide(reasons: readonly VerdictReason[]): Verdict['decision'] {
  if (reasons.some(({ outcome }) => outcome === 'breach')) return 'rollback'
  if (reasons.some(({ outcome }) => outcome === 'undecided')) return 'hold'
  return reasons.some(({ outcome }) => outcome === 'pass') ? 'promote' : 'hold'
}

interface Scope extends ProfileCounts {
  /** Share of a metric's chance of a false rollback. */
  readonly alphaShare: number
  readonly minRequests: number
  readonly minShadowed: number
}

/** All profiles together, then each; a single profile is judged once. */
function scopes({ profiles, policy }: JudgeInput): Scope[] {
  const canary = addArms(profiles.map((profile) => profile.canary))
  const baselines = profiles.flatMap(({ baseline }) => (baseline === null ? [] : [baseline]))
  const baseline = baselines.length > 0 ? addArms(baselines) : null
  const single = profiles.length < 2
  const pooled = {
    profile: '*',
    canary,
    baseline,
    alphaShare: single ? 1 : 0.5,
    minRequests: policy.minRequests,
    minShadowed: policy.minShadowed,
  }
  if (single) return [pooled]
  const each = profiles.map((counts) => ({
    ...counts,
    alphaShare: 0.5 / profiles.length,
    minRequests: policy.minRequestsPerProfile,
    minShadowed: policy.minShadowedPerProfile,
  }))
  return [pooled, ...each]
}

function judgeScope(scope: Scope, input: JudgeInput): VerdictReason[] {
  const { policy, latencyMsMax, shadow = 'none' } = input
  const { canary, baseline, profile, minRequests, minShadowed } = scope
  const limits = limitsOf(input)
  const weightSum = limits.reduce((sum, { weight }) => sum + weight, 0)
  return limits.map(({ metric, limit, weight }) => {
    const test: Test = {
      limit,
      alpha: (1 - policy.rollbackConfidence) * (weight / weightSum) * scope.alphaShare,
      beta: 1 - policy.promoteConfidence,
      minBadEvents: policy.minBadEvents,
    }
    const found =
      metric === 'quality'
        ? judgeQuality(canary, baseline, test, policy)
        : metric === 'shadow' && shadow !== 'none'
          ? judgeShadow(canary, test, shadow, minShadowed)
          : judgeShare(metric, canary, baseline, test, minRequests)
    const told = { ...found, profile }
    return { ...told, sentence: reasonSentence({ ...told, latencyMsMax }) }
  })
}

interface Limit {
  readonly metric: 'error_rate' | 'latency' | 'quality' | 'shadow'
  readonly limit: number
  readonly weight: number
}

/** What is judged in this wave: everything that has a limit and can be counted. */
function limitsOf({ policy, shadow = 'none' }: JudgeInput): Limit[] {
  const { weights } = policy
  const rows = [
    { metric: 'error_rate', limit: policy.errorRateMax, weight: weights.errorRate },
    { metric: 'latency', limit: policy.latencyBadShareMax, weight: weights.latency },
    { metric: 'quality', limit: policy.qualityDropMax, weight: weights.quality },
    { metric: 'shadow', limit: policy.shadowDisagreeShareMax, weight: weights.shadow },
  ] as const
  return rows.flatMap(({ limit, ...row }) => {
    const isCounted = row.metric === 'shadow' ? shadow !== 'none' : shadow !== 'alone'
    return limit === null || !isCounted ? [] : [{ ...row, limit }]
  })
}

const URGENCY = { breach: 0, undecided: 1, pass: 2, not_judged: 3 } as const

/** A total order, so that the order of the input cannot show: worst first, pooled first. */
function byUrgency(a: VerdictReason, b: VerdictReason): number {
  return (
    URGENCY[a.outcome] - URGENCY[b.outcome] ||
    excess(b) - excess(a) ||
    compare(a.profile, b.profile) ||
    compare(a.metric, b.metric)
  )
}

/** How many times its limit a breach surely is; the rest keep the order of names. */
function excess({ outcome, lower, limit }: VerdictReason): number {
  if (outcome !== 'breach' || lower === null || limit === null) return 0
  return lower / Math.max(limit, 1e-6)
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function staleReason(): VerdictReason {
  const reason = {
    metric: 'freshness' as const,
    profile: '*',
    outcome: 'undecided' as const,
    value: null,
    limit: null,
    lower: null,
    upper: null,
    n: 0,
    bad: 0,
    baseline: null,
    needed: null,
    badUntilBreach: null,
  }
  return { ...reason, sentence: reasonSentence(reason) }
}

function headline(decision: Verdict['decision'], reasons: readonly VerdictReason[]): string {
  const outcome = decision === 'rollback' ? 'breach' : decision === 'hold' ? 'undecided' : 'pass'
  const told = reasons.filter((reason) => reason.outcome === outcome)
  const first = told.find((reason) => reason.metric === 'freshness') ?? told[0]
  return first?.sentence ?? 'Nothing could be judged: no limit applies to the data at hand.'
}
