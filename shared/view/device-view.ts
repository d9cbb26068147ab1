/** Devices as lines and in detail: desired beside reported, and why they differ. */
import type { DeviceResource } from '../api/resources.ts'
import { attackWords, noticeWords } from './notice-words.ts'
import { figureTable, trialTable } from './qualification-view.ts'
import { deviceStatus, type Status } from './status.ts'
import type { Table } from './text-table.ts'
import { ago, percent } from './words.ts'

interface DeviceLine {
  readonly device: string
  readonly profile: string
  readonly status: Status
  /** `motor 1.0.0, 1.1.0 at 25 %`: what it says it serves. */
  readonly serves: string
  readonly labels: string
  readonly seen: string
}

export function deviceLine(device: DeviceResource, nowMs: number): DeviceLine {
  const named = Object.entries(device.facts.labels).map(([name, value]) => `${name}=${value}`)
  const labels = [...(device.facts.staging ? ['staging'] : []), ...named]
  return {
    device: device.device,
    profile: device.facts.profile,
    status: deviceStatus(device),
    serves: servesOf(device),
    labels: labels.join(' ') || '-',
    seen: ago(device.lastSeenMs, nowMs),
  }
}

function servesOf(device: DeviceResource): string {
  const slots = (device.report?.slots ?? []).filter(({ slot }) => slot !== 'previous')
  const models = [...new Set(slots.map(({ model }) => model))]
  const texts = models.map((model) => {
    const current = slots.find((s) => s.model === model && s.slot === 'current')
    const candidate = slots.find((s) => s.model === model && s.slot === 'candidate')
    const share = candidate && `${candidate.version} at ${percent(candidate.trafficShare / 1e6)}`
    return `${model} ${[current?.version, share].filter(Boolean).join(', ')}`
  })
  return texts.join('; ') || 'nothing'
}

const URGENCY: Readonly<Record<Status['tone'], number>> = {
  bad: 0,
  warn: 1,
  busy: 2,
  idle: 3,
  good: 4,
}

/** Worst first, then by name. */
export function deviceTable(devices: readonly DeviceResource[], nowMs: number): Table {
  const lines = devices
    .map((device) => deviceLine(device, nowMs))
    .toSorted(
      (a, b) => URGENCY[a.status.tone] - URGENCY[b.status.tone] || (a.device < b.device ? -1 : 1),
    )
  return {
    columns: ['DEVICE', 'PROFILE', 'STATE', 'SEEN', 'LABELS', 'SERVES'],
    rows: lines.map((l) => [l.device, l.profile, l.status, l.seen, l.labels, l.serves]),
  }
}

export interface SlotView {
  readonly model: string
  readonly slot: string
  readonly desired: string
  readonly reported: string
  readonly status: Status
}

export interface DeviceDetail {
  readonly line: DeviceLine
  readonly facts: readonly (readonly [string, string])[]
  readonly slots: readonly SlotView[]
  /** What it is doing now; null when idle. */
  readonly job: string | null
  readonly providers: Table
  /** Measured on the device when the release was proved there. */
  readonly figures: Table
  /** Settings that were compared, and the optimised model file. */
  readonly trials: Table
  readonly failures: Table
  readonly notices: Table
}

export function deviceDetail(device: DeviceResource, nowMs: number): DeviceDetail {
  const { facts, report } = device
  const job = report?.job ?? null
  const attacks = report?.attacks ?? []
  return {
    line: deviceLine(device, nowMs),
    facts: [
      ['profile', facts.profile],
      ['platform', `${facts.platform}, ${facts.cores} cores, ${facts.memoryMb} MB`],
      ['agent', `${facts.agentVersion}, ONNX Runtime ${facts.runtimeVersion}`],
      ['key', device.deviceKey],
      ['enrolled', ago(device.enrolledAtMs, nowMs)],
      ['last seen', ago(device.lastSeenMs, nowMs)],
      ['generation', `${report?.generation ?? 'none'} of ${device.generation}`],
      ...(attacks.length === 0 ? [] : [['attacks refused', attackWords(attacks, nowMs)] as const]),
    ],
    slots: slotViews(device),
    job: job === null ? null : `${job.phase} ${job.model} ${job.version}`,
    providers: providerTable(device),
    figures: figureTable(device.qualifications, artifactName(device)),
    trials: trialTable(device.qualifications, artifactName(device)),
    failures: {
      columns: ['RELEASE', 'CODE', 'WHY'],
      rows: [
        ...(report?.failures ?? []).map(({ model, version, problem }) => [
          ...[`${model}@${version}`, problem.code, problem.message],
        ]),
        ...(device.unfit ?? []).map((problem) => [
          ...['not assigned', problem.code, `${problem.message} ${problem.found ?? ''}`.trim()],
        ]),
      ],
    },
    notices: {
      columns: ['WHEN', 'WHAT', 'SUBJECT', 'WHY'],
      rows: device.notices.map((notice) => [
        ...[ago(notice.atMs, nowMs), noticeWords(notice), notice.subject],
        `${notice.problem.message} [${notice.problem.code}]`,
      ]),
    },
  }
}

/** One row for each slot that is desired or reported. */
function slotViews(device: DeviceResource): SlotView[] {
  const desired = device.desired.flatMap(({ model, current, candidate, trafficShare }) => [
    { model, slot: 'current', version: current, share: 0 },
    ...(candidate === null
      ? []
      : [{ model, slot: 'candidate', version: candidate, share: trafficShare }]),
  ])
  const reported = device.report?.slots ?? []
  const names = [...desired, ...reported].map(({ model, slot }) => `${model} ${slot}`)
  return [...new Set(names)].map((name) => {
    const [model = '', slot = ''] = name.split(' ')
    const want = desired.find((d) => d.model === model && d.slot === slot)
    const have = reported.find((r) => r.model === model && r.slot === slot)
    // The current release has what the candidate leaves; only the candidate's share is news.
    const share = slot === 'candidate' ? (have?.trafficShare ?? 0) : 0
    return {
      model,
      slot,
      desired: want ? withShare(want.version, want.share) : '-',
      reported: have
        ? `${withShare(have.version, share)} (${have.variant} on ${have.provider})`
        : '-',
      status: slotStatus(slot, want?.version, have?.version),
    }
  })
}

function withShare(version: string, sharePpm: number): string {
  return sharePpm === 0 ? version : `${version} at ${percent(sharePpm / 1e6)}`
}

function slotStatus(slot: string, want: string | undefined, have: string | undefined): Status {
  // The device keeps its former release by itself; nobody asks for it.
  if (slot === 'previous') return { word: 'kept', glyph: '·', tone: 'idle' }
  if (want === have) return { word: 'as desired', glyph: '✓', tone: 'good' }
  return { word: 'differs', glyph: '▶', tone: 'busy' }
}

export function slotTable(slots: readonly SlotView[]): Table {
  return {
    columns: ['MODEL', 'SLOT', 'DESIRED', 'REPORTED', 'STATE'],
    rows: slots.map((s) => [s.model, s.slot, s.desired, s.reported, s.status]),
  }
}

const ATTEMPT_STATUS = {
  chosen: { word: 'chosen', glyph: '✓', tone: 'good' },
  passed: { word: 'passed', glyph: '✓', tone: 'idle' },
  refused: { word: 'refused', glyph: '✗', tone: 'bad' },
  unavailable: { word: 'not available', glyph: '·', tone: 'idle' },
} as const satisfies Record<string, Status>

function artifactName({ report }: DeviceResource): (sha256: string) => string {
  return (sha256) => {
    const slot = report?.slots.find((s) => s.sha256 === sha256)
    return slot ? `${slot.model}@${slot.version} ${slot.variant}` : sha256.slice(0, 12)
  }
}

/** Providers that qualification tried, for each artifact, and why not the others. */
function providerTable(device: DeviceResource): Table {
  const nameOf = artifactName(device)
  return {
    columns: ['RELEASE', 'PROVIDER', 'OUTCOME', 'OFF BY', 'P95', 'WHY'],
    rows: device.qualifications.flatMap((q) =>
      q.attempts.map((attempt) => [
        nameOf(q.sha256),
        attempt.options === '' ? attempt.provider : `${attempt.provider} ${attempt.options}`,
        ATTEMPT_STATUS[attempt.outcome],
        attempt.goldenDifferenceMax?.toPrecision(2) ?? '-',
        attempt.outcome === 'chosen' ? `${q.steadyMsP95.toFixed(2)} ms` : '-',
        attempt.reason || '-',
      ]),
    ),
  }
}
