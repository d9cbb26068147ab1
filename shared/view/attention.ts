/**
 * What needs a person, worst first: what Linnet will not resolve alone, and what it undid within a
 * day, which somebody should know. Devices with the same trouble share a line.
 */
import type { DeviceResource, HealthResource, RolloutResource } from '../api/resources.ts'
import { groupBy } from './group-by.ts'
import { needsPerson, rolloutLine } from './rollout-view.ts'
import { deviceStatus, type Status } from './status.ts'
import { count } from './words.ts'

export interface AttentionItem {
  readonly status: Status
  readonly subject: string
  readonly sentence: string
  /** What to type. */
  readonly cli: string
  /** What it is about; several devices are named by the state that they share. */
  readonly about:
    | { readonly kind: 'trust' }
    | { readonly kind: 'rollout'; readonly id: string }
    | { readonly kind: 'devices'; readonly ids: readonly string[]; readonly state: string }
  /** Since when, where that is known. */
  readonly atMs: number | null
}

const UNDONE_MS_MAX = 86_400_000
const NOTICE_MS_MAX = 3_600_000
const RANK: Readonly<Record<Status['tone'], number>> = {
  bad: 0,
  warn: 1,
  busy: 2,
  idle: 3,
  good: 4,
}

export function attentionOf(
  fleet: {
    readonly devices: readonly DeviceResource[]
    readonly rollouts: readonly RolloutResource[]
    readonly health: HealthResource | null
  },
  nowMs: number,
): AttentionItem[] {
  const members = fleet.devices.filter(({ membership }) => membership === undefined)
  return [
    ...ofRoot(fleet.health),
    ...ofExpiry(fleet.health, nowMs),
    ...fleet.rollouts.flatMap((rollout) => ofRollout(rollout, nowMs)),
    ...ofPending(fleet.devices),
    ...ofDegraded(members),
    ...ofUnfit(members),
    ...ofLost(members),
    ...ofNotices(members, nowMs),
  ].toSorted((a, b) => RANK[a.status.tone] - RANK[b.status.tone])
}

function ofRoot(health: HealthResource | null): AttentionItem[] {
  if (health === null || health.rootVersion !== null) return []
  return [
    {
      status: { word: 'no keys', glyph: '?', tone: 'warn' },
      subject: 'trust',
      sentence: 'No root of trust was uploaded, so nothing can be assigned.',
      cli: 'linnet key new',
      about: { kind: 'trust' },
      atMs: null,
    },
  ]
}

const DAY_MS = 86_400_000
/** Targets live for 14 days by default, roots for a year. */
const REMIND_MS = { targets: 7 * DAY_MS, root: 30 * DAY_MS } as const

/** What people sign offline is asked for long before it expires. */
function ofExpiry(health: HealthResource | null, nowMs: number): AttentionItem[] {
  const expiring = health?.expiringRole ?? 'targets'
  const of = expiring === 'targets' ? '' : ` --role ${expiring}`
  const rows = [
    ['targets', expiring, health?.targetsExpireAtMs, `linnet release sign --renew${of}`],
    ['root', 'root', health?.rootExpiresAtMs, 'linnet key rotate'],
  ] as const
  return rows.flatMap(([kind, role, atMs, cli]) => {
    if (atMs === undefined || atMs - nowMs > REMIND_MS[kind]) return []
    const isOver = atMs <= nowMs
    const left = count(Math.max(1, Math.floor((atMs - nowMs) / DAY_MS)), 'day')
    const when = isOver ? 'have expired: devices refuse every change' : `expire within ${left}`
    return [
      {
        status: { word: isOver ? 'expired' : 'expires', glyph: '!', tone: isOver ? 'bad' : 'warn' },
        subject: `signed ${role}`,
        sentence: `The ${role} metadata ${when}; what runs goes on.`,
        cli,
        about: { kind: 'trust' },
        atMs,
      },
    ]
  })
}

const VERBS: Partial<Record<RolloutResource['state'], string>> = {
  awaiting_approval: 'approve',
  ready: 'start',
  paused: 'resume',
}

function ofRollout(rollout: RolloutResource, nowMs: number): AttentionItem[] {
  const { id, state, endedAtMs } = rollout
  const isUndone = ['rolling_back', 'rolled_back', 'failed'].includes(state)
  const isOld = nowMs - (endedAtMs ?? nowMs) > UNDONE_MS_MAX
  if (isUndone ? isOld : !needsPerson(rollout)) return []
  const line = rolloutLine(rollout, nowMs)
  return [
    {
      status: line.status,
      subject: `${line.model} ${rollout.spec.candidate}`,
      sentence: line.reason,
      cli: `linnet rollout ${VERBS[state] ?? 'why'} ${id}`,
      about: { kind: 'rollout', id },
      atMs: endedAtMs ?? rollout.waveStartedAtMs ?? rollout.createdAtMs,
    },
  ]
}

function ofPending(devices: readonly DeviceResource[]): AttentionItem[] {
  const pending = devices.filter(({ membership }) => membership === 'pending')
  if (pending.length === 0) return []
  const why = 'It has a token and asks to join; compare its key before it is let in.'
  const [first] = pending
  const item = ofDevices(pending, 'awaiting approval', why, first?.enrolledAtMs ?? null)
  return [{ ...item, cli: `linnet device approve ${first?.device}` }]
}

/** Devices that refused a release: a line for each release and code. */
function ofDegraded(devices: readonly DeviceResource[]): AttentionItem[] {
  const degraded = devices.filter(({ report }) => report?.status === 'degraded')
  const groups = groupBy(degraded, ({ report }) => {
    const failure = report?.failures[0]
    return failure ? `${failure.model}@${failure.version} ${failure.problem.code}` : ''
  })
  return [...groups.values()].map((group) => {
    const failure = group[0]?.report?.failures[0]
    const why = failure
      ? `${failure.model}@${failure.version}: ${failure.problem.message}`
      : 'It serves less than it was assigned.'
    return ofDevices(group, 'degraded', why)
  })
}

/** Devices that cannot be given what they should run: a line for each reason. */
function ofUnfit(devices: readonly DeviceResource[]): AttentionItem[] {
  const groups = groupBy(
    devices.filter(({ unfit }) => unfit !== undefined),
    ({ unfit }) => unfit?.[0]?.message ?? '',
  )
  return [...groups.values()].map((group) => {
    const problem = group[0]?.unfit?.[0]
    const found = problem?.found === undefined ? '' : ` (${problem.found})`
    const item = ofDevices(group, 'does not fit', `${problem?.message ?? ''}${found}`)
    return { ...item, status: { word: 'does not fit', glyph: '✗', tone: 'bad' } }
  })
}

function ofLost(devices: readonly DeviceResource[]): AttentionItem[] {
  const lost = devices.filter(({ presence }) => presence?.status === 'lost')
  if (lost.length === 0) return []
  const why = 'The connection broke without a goodbye; what it serves locally goes on.'
  const sinceMs = lost.map(({ presence }) => presence?.sinceMs ?? 0)
  return [
    ofDevices(
      lost,
      'lost',
      why,
      sinceMs.reduce((a, b) => Math.max(a, b), 0),
    ),
  ]
}

function ofDevices(
  group: readonly DeviceResource[],
  state: string,
  sentence: string,
  atMs: number | null = null,
): AttentionItem {
  const ids = group.map(({ device }) => device)
  return {
    status: { ...deviceStatus(group[0]!), word: state },
    subject: ids.length === 1 ? ids[0]! : count(ids.length, 'device'),
    sentence,
    cli: `linnet device show ${ids[0]}`,
    about: { kind: 'devices', ids, state },
    atMs,
  }
}

/** Kinds of notices that no other line tells. */
const NOTICE_WORDS: Readonly<Record<string, string>> = {
  assignment_refused: 'assignment refused',
  rolled_back: 'local rollback',
  host_restarted: 'host restarted',
  hosts_scaled: 'hosts scaled',
  proved_again: 'proved again',
  disk_failed: 'disk full or broken',
  changed_locally: 'changed at the device',
  spool_overflow: 'telemetry lost',
  drift_alarm: 'drift',
  attack: 'attack refused',
  release_revoked: 'release revoked',
  frozen: 'frozen',
}

/** Notices of the last hour: a line for each kind, with the newest message. */
function ofNotices(devices: readonly DeviceResource[], nowMs: number): AttentionItem[] {
  const recent = devices.flatMap((device) =>
    device.notices
      .filter(({ kind, atMs }) => kind in NOTICE_WORDS && nowMs - atMs <= NOTICE_MS_MAX)
      .map((notice) => ({ device, notice })),
  )
  return [...groupBy(recent, ({ notice }) => notice.kind)].map(([kind, found]) => {
    const newest = found.reduce((a, b) => (b.notice.atMs > a.notice.atMs ? b : a))
    const group = [...new Set(found.map(({ device }) => device))]
    return {
      ...ofDevices(group, kind, sentenceOf(newest.notice), newest.notice.atMs),
      status: { word: NOTICE_WORDS[kind]!, glyph: '!', tone: 'warn' },
    }
  })
}

function sentenceOf({ attack, problem }: DeviceResource['notices'][number]): string {
  const looks = attack === undefined ? '' : `Looks like ${attack.replaceAll('_', ' ')}: `
  return `${looks}${problem.message}`
}
