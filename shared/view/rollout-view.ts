/**
 * Rollouts as lines and in detail, for console and CLI alike: both say the same because both only
 * render this. Nothing is decided here; sentences with numbers come from the judge and the machine.
 */
import type { DecisionResource, RolloutResource } from '../api/resources.ts'
import { missingOf, missingWords } from '../judge/missing.ts'
import { RETREAT_SECONDS_MAX } from '../rollout/retreat.ts'
import {
  cellStatus,
  outcomeStatus,
  rolloutStatus,
  type Status,
  type Tone,
  verdictStatus,
} from './status.ts'
import type { Table } from './text-table.ts'
import { ago, count, duration, grouped, percent } from './words.ts'

export interface RolloutLine {
  readonly id: string
  readonly model: string
  /** `1.1.0 <- 1.0.0`. */
  readonly change: string
  readonly status: Status
  readonly wave: string
  /** `3/8 devices`: serving of those in the cohort. */
  readonly progress: string
  readonly verdict: Status
  readonly age: string
  readonly reason: string
  /** True where nothing goes on without a person. */
  readonly needsPerson: boolean
}

export function rolloutLine(rollout: RolloutResource, nowMs: number): RolloutLine {
  const { spec } = rollout
  return {
    id: rollout.id,
    model: spec.model,
    change: `${spec.candidate} <- ${spec.baseline ?? 'nothing'}`,
    status: rolloutStatus(rollout),
    wave: `${rollout.wave + 1}/${spec.waves.length}`,
    progress: progressOf(rollout),
    verdict: verdictStatus(rollout.verdict),
    age: ago(rollout.createdAtMs, nowMs),
    reason: rollout.reason.sentence,
    needsPerson: needsPerson(rollout),
  }
}

export function needsPerson(rollout: Pick<RolloutResource, 'state'>): boolean {
  return ['awaiting_approval', 'ready', 'paused', 'failed'].includes(rollout.state)
}

export function isEnded(rollout: Pick<RolloutResource, 'state'>): boolean {
  return ['promoted', 'rolled_back', 'aborted', 'failed'].includes(rollout.state)
}

function progressOf(rollout: RolloutResource): string {
  const cohort = rollout.devices.filter((device) => device.inCohort)
  const serving = cohort.filter((device) => device.candidate === 'serving')
  return cohort.length === 0 ? '-' : `${serving.length}/${cohort.length}`
}

/** Newest first, but what waits for a person before everything else. */
export function rolloutTable(rollouts: readonly RolloutResource[], nowMs: number): Table {
  const lines = rollouts
    .toSorted((a, b) => b.createdAtMs - a.createdAtMs)
    .map((rollout) => rolloutLine(rollout, nowMs))
    .toSorted((a, b) => Number(b.needsPerson) - Number(a.needsPerson))
  return {
    columns: [
      ...['ROLLOUT', 'MODEL', 'RELEASE', 'STATE', 'WAVE', 'DEVICES', 'VERDICT', 'AGE', 'REASON'],
    ],
    rows: lines.map((line) => [
      line.id,
      line.model,
      line.change,
      line.status,
      line.wave,
      line.progress,
      line.verdict,
      line.age,
      line.reason,
    ]),
  }
}

export interface WaveView {
  readonly number: number
  readonly status: Status
  readonly devices: string
  readonly traffic: string
  readonly limits: string
}

export interface MetricView {
  readonly metric: string
  readonly profile: string
  readonly status: Status
  readonly canary: string
  readonly baseline: string
  readonly limit: string
  readonly counts: string
  readonly sentence: string
}

export interface RolloutDetail {
  readonly line: RolloutLine
  /** Why it is where it is. */
  readonly sentence: string
  readonly next: string
  readonly waves: readonly WaveView[]
  readonly metrics: readonly MetricView[]
  readonly strip: readonly { readonly device: string; readonly status: Status }[]
  readonly failures: readonly { readonly code: string; readonly devices: readonly string[] }[]
  readonly actions: readonly ActionView[]
}

interface ActionView {
  readonly command: string
  /** What it will do, in numbers. */
  readonly effect: string
  /** The same from a terminal. */
  readonly cli: string
}

export function rolloutDetail(rollout: RolloutResource, nowMs: number): RolloutDetail {
  return {
    line: rolloutLine(rollout, nowMs),
    sentence: rollout.reason.sentence,
    next: nextOf(rollout, nowMs),
    waves: rollout.spec.waves.map((_, i) => waveView(rollout, i)),
    metrics: (rollout.verdict?.reasons ?? []).map(metricView),
    strip: rollout.devices.map((cell) => ({
      device: cell.device,
      status: cellStatus(cell, isEnded(rollout)),
    })),
    failures: failuresOf(rollout),
    actions: rollout.allowed.map((command) => ({
      command,
      effect: effectOf(rollout, command),
      cli: `linnet rollout ${command} ${rollout.id}`,
    })),
  }
}

/** What will happen by itself, when, and what a person could do. */
function nextOf(rollout: RolloutResource, nowMs: number): string {
  const { spec, wave } = rollout
  const last = wave >= spec.waves.length - 1
  const goal = last ? 'it is promoted' : `wave ${wave + 2} starts`
  switch (rollout.state) {
    case 'running': {
      const limits = spec.waves[wave]
      const elapsedMs = nowMs - (rollout.waveStartedAtMs ?? nowMs)
      const restMs = (limits?.maxSeconds ?? 0) * 1_000 - elapsedMs
      const earliestMs = (limits?.minSeconds ?? 0) * 1_000 - elapsedMs
      const missing = rollout.verdict === null ? [] : missingOf(rollout.verdict)
      const after = missing.length === 0 ? '' : ` after ${missing.map(missingWords).join(', ')}`
      const wait = earliestMs > 0 ? `, not before ${duration(earliestMs)}` : ''
      const hold = spec.onHold === 'pause' ? 'it pauses for a person' : 'it rolls back'
      return `If it passes, ${goal}${after}${wait}; ${breachWords(rollout)}undecided in ${duration(restMs)}, ${hold}.`
    }
    case 'paused':
      return `Nothing advances; a broken limit still rolls it back. linnet rollout resume ${rollout.id}, promote or rollback.`
    case 'ready':
      return `linnet rollout start ${rollout.id}`
    case 'awaiting_approval': {
      const missing = spec.approvals - rollout.approvedBy.length
      return `${count(missing, 'approval')} missing: linnet rollout approve ${rollout.id}`
    }
    case 'rolling_back':
      return `It ends once no online device serves ${spec.candidate}, or after ${duration(RETREAT_SECONDS_MAX * 1_000)}; linnet rollout abort ${rollout.id} ends it now.`
    case 'draft':
      return 'It has no effect yet.'
    case 'promoted':
    case 'rolled_back':
    case 'aborted':
    case 'failed':
      return 'It is over.'
    default:
      return rollout.state satisfies never
  }
}

const BAD_EVENTS: Readonly<Record<Reason['metric'], string>> = {
  error_rate: 'failed request',
  latency: 'slow request',
  quality: 'wrong answer',
  shadow: 'disagreement',
  freshness: '',
}

/** The shortest way to a rollback: so many bad events in a row. */
function breachWords({ verdict }: RolloutResource): string {
  const least = (verdict?.reasons ?? [])
    .filter(({ badUntilBreach }) => badUntilBreach !== null)
    .toSorted((a, b) => (a.badUntilBreach ?? 0) - (b.badUntilBreach ?? 0))[0]
  if (least === undefined || least.badUntilBreach === null) return ''
  const where = least.profile === '*' ? '' : ` on ${least.profile}`
  const events = `${BAD_EVENTS[least.metric]}${least.badUntilBreach === 1 ? '' : 's'}`
  return `${grouped(least.badUntilBreach)} more ${events} in a row${where} roll it back; `
}

function waveView(rollout: RolloutResource, index: number): WaveView {
  const wave = rollout.spec.waves[index]!
  const shadow = wave.shadowPercent > 0 ? `, shadow ${wave.shadowPercent} %` : ''
  const minimum = wave.minSeconds > 0 ? `at least ${duration(wave.minSeconds * 1_000)}, ` : ''
  return {
    number: index + 1,
    status: waveStatus(rollout, index),
    devices: `${wave.percent} % of devices`,
    traffic: `${wave.trafficPercent} % of requests${shadow}`,
    limits: `${minimum}at most ${duration(wave.maxSeconds * 1_000)}`,
  }
}

function waveStatus(rollout: RolloutResource, index: number): Status {
  const { state, wave, wavePhase } = rollout
  const started = rollout.startedAtMs !== null
  if (started && (index < wave || state === 'promoted')) return waveWord('passed', '✓', 'good')
  if (!started || index > wave) return waveWord('to come', '○', 'idle')
  if (state === 'running') return waveWord(wavePhase, '▶', 'busy')
  return rolloutStatus(rollout)
}

function waveWord(word: string, glyph: string, tone: Tone): Status {
  return { word, glyph, tone }
}

type Reason = NonNullable<RolloutResource['verdict']>['reasons'][number]

function metricView(reason: Reason): MetricView {
  const { metric, profile, value, limit, n, bad, baseline } = reason
  return {
    metric: metric.replaceAll('_', ' '),
    profile: profile === '*' ? 'all profiles' : profile,
    status: outcomeStatus(reason.outcome),
    canary: percent(value),
    baseline: baseline === null || baseline.n === 0 ? '-' : percent(baseline.bad / baseline.n),
    limit: limit === null ? '-' : percent(limit),
    counts: `${grouped(bad)} of ${grouped(n)}`,
    sentence: reason.sentence,
  }
}

export function metricTable(metrics: readonly MetricView[]): Table {
  return {
    columns: ['METRIC', 'PROFILE', 'OUTCOME', 'CANARY', 'BASELINE', 'LIMIT', 'BAD', 'BECAUSE'],
    rows: metrics.map((m) => [
      ...[m.metric, m.profile, m.status, m.canary, m.baseline, m.limit, m.counts, m.sentence],
    ]),
  }
}

export function waveTable(waves: readonly WaveView[]): Table {
  return {
    columns: ['WAVE', 'STATE', 'DEVICES', 'TRAFFIC', 'TIME'],
    rows: waves.map((w) => [String(w.number), w.status, w.devices, w.traffic, w.limits]),
  }
}

/** Grouped by code, most devices first. */
function failuresOf(rollout: RolloutResource): { code: string; devices: string[] }[] {
  const groups = new Map<string, string[]>()
  for (const { candidate, failureCode, device } of rollout.devices) {
    if (candidate !== 'failed') continue
    const code = failureCode ?? 'unknown'
    groups.set(code, [...(groups.get(code) ?? []), device])
  }
  return [...groups]
    .map(([code, devices]) => ({ code, devices }))
    .toSorted((a, b) => b.devices.length - a.devices.length)
}

/** `4 devices go back to 1.0.0; 1 is offline and will follow`. */
function effectOf(rollout: RolloutResource, command: string): string {
  const { spec, wave } = rollout
  const holding = rollout.devices.filter((d) => d.candidate === 'serving')
  const offline = holding.filter((d) => !d.online).length
  const follow =
    offline === 0 ? '' : `; ${offline} ${offline === 1 ? 'is' : 'are'} offline and will follow`
  const all = count(rollout.devices.length, 'device')
  const going = count(holding.length, 'device goes', 'devices go')
  const keeping = count(holding.length, 'device keeps', 'devices keep')
  const back =
    spec.baseline === null
      ? `${keeping} ${spec.candidate}: there is no other release to go back to`
      : `${going} back to ${spec.baseline}${follow}`
  const next = spec.waves[wave + 1]
  switch (command) {
    case 'start':
      return `wave 1 begins: ${spec.waves[0]?.percent} % of ${all}`
    case 'promote':
      return next === undefined
        ? `${spec.candidate} becomes the release of ${all}`
        : `wave ${wave + 2} begins: ${next.percent} % of ${all}`
    case 'rollback':
      return back
    case 'abort':
      return rollout.state === 'rolling_back' ? `nobody waits any longer; ${back}` : back
    case 'pause':
      return `nothing advances; ${keeping} serving ${spec.candidate}, a broken limit still rolls back`
    case 'resume':
      return `wave ${wave + 1} goes on`
    default:
      return ''
  }
}

/** The history of a rollout, oldest first: who decided what, and why. */
export function decisionTable(decisions: readonly DecisionResource[], nowMs: number): Table {
  return {
    columns: ['WHEN', 'BY', 'ACTION', 'WAVE', 'STATE', 'BECAUSE'],
    rows: decisions
      .toSorted((a, b) => a.id - b.id)
      .map((d) => [
        ago(d.atMs, nowMs),
        d.actor,
        d.action,
        String(d.wave + 1),
        rolloutStatus({ state: d.to }),
        d.reason.sentence,
      ]),
  }
}
