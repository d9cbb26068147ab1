/**
 * The tests, each over one scope (a profile, or all together): share of requests without an answer,
 * share of requests over the latency limit, drop of accuracy; and, where the candidate computes in
 * the shadow of the serving release, share of comparisons with another class.
 */
import type { ArmCounts } from './arm-counts.ts'
import {
  chanceOfAtLeast,
  chanceOfAtMost,
  differenceBounds,
  lowerBound,
  oneSidedZ,
  type Share,
  upperBound,
} from './bounds.ts'
import type { JudgePolicy } from './policy.ts'
import type { VerdictReason } from './verdict.ts'

type Finding = Omit<VerdictReason, 'sentence' | 'profile'>
type Outcome = VerdictReason['outcome']

/** What it takes to break or to meet one limit. */
export interface Test {
  readonly limit: number
  /** Chance of a false breach, at one look. */
  readonly alpha: number
  /** Chance of a false pass, at one look. */
  readonly beta: number
  readonly minBadEvents: number
}

/** Labels in each arm below which the score interval is not trusted to roll back. */
const LABELS_FOR_BREACH = 20
/** More than this is no forecast but "never at this share". */
const NEEDED_MAX = 1_000_000

/** What is counted against a limit of its own. */
type ShareMetric = 'error_rate' | 'latency' | 'shadow'

/**
 * An absolute criterion: the canary's share of bad events against a limit. Fewer than `eventsMin`
 * never pass.
 */
export function judgeShare(
  metric: ShareMetric,
  canary: ArmCounts,
  baseline: ArmCounts | null,
  test: Test,
  eventsMin: number,
): Finding {
  const share = shareOf(metric, canary)
  const outcomeOf = (at: Share): Outcome => {
    const { limit, alpha, beta, minBadEvents } = test
    if (at.bad >= minBadEvents && chanceOfAtLeast(at, limit) < alpha) return 'breach'
    const isWithin = limit >= 1 || chanceOfAtMost(at, limit) <= beta
    return at.n >= eventsMin && isWithin ? 'pass' : 'undecided'
  }
  const outcome = outcomeOf(share)
  const unit = metric === 'shadow' ? 'comparisons' : 'requests'
  return {
    metric,
    outcome,
    value: share.n > 0 ? share.bad / share.n : null,
    limit: test.limit,
    lower: share.n > 0 ? lowerBound(share, test.alpha) : null,
    upper: share.n > 0 ? upperBound(share, test.beta) : null,
    ...share,
    baseline: baseline && shareOf(metric, baseline),
    needed: outcome === 'undecided' ? needed(unit, share, outcomeOf) : null,
    badUntilBreach: badUntilBreach(share, outcomeOf),
  }
}

function shareOf(metric: ShareMetric, counts: ArmCounts): Share {
  if (metric === 'shadow') return { n: counts.shadowCompared, bad: counts.shadowDisagreed }
  return { n: counts.requests, bad: metric === 'error_rate' ? counts.errors : counts.latencyBad }
}

/** Shadow runs take only idle time, so a wave that also serves never waits for them. */
export function judgeShadow(
  canary: ArmCounts,
  test: Test,
  shadow: 'beside' | 'alone',
  comparisonsMin: number,
): Finding {
  const found = judgeShare('shadow', canary, null, test, comparisonsMin)
  if (shadow === 'alone' || found.outcome !== 'undecided') return found
  return { ...found, outcome: 'not_judged', needed: null }
}

/** A relative criterion: how much more often the canary's answers were wrong. */
export function judgeQuality(
  canaryCounts: ArmCounts,
  baselineCounts: ArmCounts | null,
  test: Test,
  policy: Pick<JudgePolicy, 'labels' | 'minLabels'>,
): Finding {
  const canary = wrongOf(canaryCounts)
  const baseline = baselineCounts && wrongOf(baselineCounts)
  const found = { metric: 'quality' as const, limit: test.limit, ...canary, baseline }
  const unknown = { value: null, lower: null, upper: null, needed: null, badUntilBreach: null }
  if (baseline === null) return { ...found, ...unknown, outcome: 'not_judged' }
  if (canary.n === 0 && baseline.n === 0 && policy.labels === 'if_any') {
    return { ...found, ...unknown, outcome: 'not_judged' }
  }
  const z = { lower: oneSidedZ(test.alpha), upper: oneSidedZ(test.beta) }
  const judgeAt = (at: Share, reference: Share) => {
    const bounds = differenceBounds(at, reference, z)
    return { ...bounds, outcome: qualityOutcome(at, reference, bounds, test, policy.minLabels) }
  }
  const { lower, upper, outcome } = judgeAt(canary, baseline)
  const outcomeWith = (more: Share): Outcome =>
    judgeAt(more, keepPace(baseline, canary, more)).outcome
  const isKnown = canary.n > 0 && baseline.n > 0
  return {
    ...found,
    outcome,
    value: isKnown ? canary.bad / canary.n - baseline.bad / baseline.n : null,
    lower: isKnown ? lower : null,
    upper: isKnown ? upper : null,
    needed: outcome === 'undecided' ? needed('labels', canary, outcomeWith) : null,
    badUntilBreach: badUntilBreach(canary, (more) => judgeAt(more, baseline).outcome),
  }
}

function qualityOutcome(
  canary: Share,
  baseline: Share,
  { lower, upper }: { lower: number; upper: number },
  { limit, minBadEvents }: Test,
  minLabels: number,
): Outcome {
  const labels = Math.min(canary.n, baseline.n)
  const canBreach = labels >= LABELS_FOR_BREACH && canary.bad >= minBadEvents
  if (canBreach && lower > limit) return 'breach'
  return labels >= minLabels && upper <= limit ? 'pass' : 'undecided'
}

/** The baseline's labels by the time the canary's have grown from `now` to `then`. */
function keepPace(baseline: Share, now: Share, then: Share): Share {
  if (now.n === 0 || baseline.n === 0) {
    const n = Math.max(baseline.n, then.n)
    return { n, bad: Math.round((n * baseline.bad) / Math.max(1, baseline.n)) }
  }
  const growth = then.n / now.n
  return { n: Math.round(baseline.n * growth), bad: Math.round(baseline.bad * growth) }
}

function wrongOf(counts: ArmCounts): Share {
  return { n: counts.labelled, bad: counts.labelled - counts.correct }
}

/**
 * About how many more events decide, if the share of bad ones stays as it is; null when no number
 * up to `NEEDED_MAX` does.
 */
function needed(
  unit: NonNullable<VerdictReason['needed']>['unit'],
  now: Share,
  outcomeOf: (then: Share) => Outcome,
): VerdictReason['needed'] {
  const rate = now.n > 0 ? now.bad / now.n : 0
  const count = leastThat((more) => {
    const n = now.n + more
    return outcomeOf({ n, bad: Math.max(now.bad, Math.round(rate * n)) }) !== 'undecided'
  })
  return count === null ? null : { unit, count }
}

/** How many bad events in a row from now on are a breach; null when it is one already. */
function badUntilBreach(now: Share, outcomeOf: (then: Share) => Outcome): number | null {
  if (outcomeOf(now) === 'breach') return null
  return leastThat((more) => outcomeOf({ n: now.n + more, bad: now.bad + more }) === 'breach')
}

/** By doubling, then halving; null when nothing up to `NEEDED_MAX` does. */
function leastThat(isEnough: (more: number) => boolean): number | null {
  let enough = 1
  while (!isEnough(enough)) {
    enough *= 2
    if (enough > NEEDED_MAX) return null
  }
  let tooFew = Math.floor(enough / 2)
  while (enough - tooFew > 1) {
    const middle = Math.floor((tooFew + enough) / 2)
    if (isEnough(middle)) enough = middle
    else tooFew = middle
  }
  return enough
}
