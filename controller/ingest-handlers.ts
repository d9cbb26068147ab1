/**
 * What a verified message does to the fleet: presence, report, notice, telemetry window. Queue,
 * signatures and duplicates are ingest.ts.
 *
 * Invariant: telemetry is never thrown away for being unexpected: windows of a rollout that we do not
 * know, or that the device is not part of, are kept without one, and count for no verdict.
 */
import { armCounts } from '../shared/judge/arm-counts.ts'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import type { Report } from '../shared/model/device.ts'
import { releaseName } from '../shared/model/names.ts'
import type { MessageOf } from '../shared/protocol/codec.ts'
import { formatTopic } from '../shared/protocol/topics.ts'
import { isReached } from '../shared/rollout/desired.ts'
import { isTargeted } from '../shared/rollout/spec.ts'
import type { Rollout } from '../shared/rollout/state.ts'
import { type WindowShape, windowShape } from '../shared/sketch/window.ts'
import { checkWindowShape } from '../shared/sketch/window-check.ts'
import type { Changes } from './changes.ts'
import type { Contributions } from './contributions.ts'
import type { StoredDevice, StoredRelease } from './db/store.ts'
import type { Evidence } from './evidence.ts'
import type { Ledger } from './ledger.ts'
import { isMember } from './membership.ts'
import type { NoticeLimits } from './notice-limits.ts'
import { deviceStateOf, type PresenceTracker } from './presence.ts'
import type { Turns } from './turns.ts'
import type { Placed, WindowCells } from './window-cells.ts'

const MINUTE_MS = 60_000
/** A device's clock further off than this is not followed: its window counts for now. */
const PAST_MS_MAX = 30 * 86_400_000
const FUTURE_MS_MAX = 5 * MINUTE_MS

/** A message that is stored once and acknowledged. */
export type Taken = {
  [K in 'report' | 'telemetry' | 'notice']: { readonly kind: K; readonly message: MessageOf[K] }
}['report' | 'telemetry' | 'notice']

export interface IngestHandlers {
  presence(row: StoredDevice, message: MessageOf['presence'], nowMs: number): void
  /**
   * Errors: `window.shape_mismatch`, `window.overflow`, `ingest.revoked`, `notice.too_many`: it can
   * never be taken over.
   * @throws when the store cannot be read; nothing is taken over then
   */
  take(row: StoredDevice, taken: Taken, nowMs: number): Promise<Result<undefined>>
}

export interface HandlerParts {
  readonly fleet: string
  readonly ledger: Ledger
  readonly presence: PresenceTracker
  readonly cells: WindowCells
  readonly evidence: Evidence
  readonly contributions: Contributions
  readonly changes: Changes
  readonly turns: Turns
  readonly noticeLimits: NoticeLimits
  /** Tells consumers of a notice. */
  readonly onNotice: (device: string, notice: MessageOf['notice']['notice']) => void
}

export function createIngestHandlers(parts: HandlerParts): IngestHandlers {
  const { presence, changes, turns } = parts
  const shapes = createShapes()
  return {
    presence(row, message, nowMs) {
      presence.said(row.device, message, nowMs)
      turns.afterCommit(() => changes.note('device', row.device))
    },
    async take(row, taken, nowMs) {
      presence.heard(row.device, nowMs)
      if (taken.kind === 'telemetry') return telemetry(parts, shapes, row, taken.message, nowMs)
      if (taken.kind === 'notice') return notice(parts, row, taken.message, nowMs)
      report(parts, row, taken.message, nowMs)
      return ok()
    },
  }
}

/** A report that was overtaken by a newer one changes nothing. */
function report(
  parts: HandlerParts,
  row: StoredDevice,
  message: MessageOf['report'],
  nowMs: number,
): void {
  const { ledger, turns, changes, fleet } = parts
  const { device } = row
  const state = deviceStateOf(ledger, device)
  const isOlder =
    message.boot === state.reportBoot
      ? message.seq < state.reportSeq
      : message.boot !== state.presence?.boot && message.atMs < state.reportAtMs
  if (isOlder) return
  ledger.put('deviceStates', {
    ...state,
    lastSeenMs: parts.presence.lastSeenMs(device),
    report: withArrivals(message.report, state.report, nowMs),
    reportBoot: message.boot,
    reportSeq: message.seq,
    reportAtMs: message.atMs,
    qualifications: message.qualifications,
  })
  turns.afterCommit(() => changes.note('device', device))
  const issued = ledger.rows.assignments.get(device)
  if (issued === undefined || message.report.generation >= issued.generation) return
  // It follows an older assignment: the retained message may be lost, so it is said again.
  const topic = formatTopic('dn/desired', { fleet, device })
  turns.send({ topic, payload: issued.envelope, qos: 1, retain: true })
}

/**
 * When each attack was heard of: a wave began by this clock, and a device's may be any. One that is in
 * the report before, with the very same time of the device, was heard of then.
 */
function withArrivals(report: Report, before: Report | null, nowMs: number): Report {
  const { attacks } = report
  if (attacks === undefined) return report
  const stamped = attacks.map((attack) => {
    const known = before?.attacks?.find(
      ({ kind, subject, atMs }) =>
        kind === attack.kind && subject === attack.subject && atMs === attack.atMs,
    )
    return { ...attack, receivedAtMs: known?.receivedAtMs ?? nowMs }
  })
  return { ...report, attacks: stamped }
}

function notice(
  { ledger, turns, changes, noticeLimits, onNotice }: HandlerParts,
  { device }: StoredDevice,
  { notice: said }: MessageOf['notice'],
  nowMs: number,
): Result<undefined> {
  const admitted = noticeLimits.admit(device, nowMs)
  if (!admitted.ok) return admitted
  ledger.put('notices', { id: ledger.nextId('notice'), device, receivedAtMs: nowMs, notice: said })
  onNotice(device, said)
  turns.afterCommit(() => changes.note('notice', device))
  return ok()
}

async function telemetry(
  parts: HandlerParts,
  shapes: Shapes,
  row: StoredDevice,
  message: MessageOf['telemetry'],
  nowMs: number,
): Promise<Result<undefined>> {
  const { ledger, cells, evidence } = parts
  const { model, share, startedAtMs } = message
  const rollout = rolloutOf(ledger, row, message)
  const known = startedAtMs >= nowMs - PAST_MS_MAX && startedAtMs <= nowMs + FUTURE_MS_MAX
  const minute = Math.floor((known ? startedAtMs : nowMs) / MINUTE_MS)
  const wave = rollout === undefined ? 0 : (message.rollout?.wave ?? 0)
  const { profile } = row.facts
  const placed: Placed[] = []
  for (const { arm, version, window } of message.arms) {
    const release = ledger.rows.releases.get(releaseName({ model, version }))
    const checked = release === undefined ? ok(window) : shapes.check(window, release)
    if (!checked.ok) return checked
    const where = { rollout: rollout?.id ?? null, wave, share, model, version, arm, profile }
    placed.push({ key: { ...where, shape: window.shape, minute }, window })
  }
  await cells.load(placed)
  // Revoked while the database was asked: its counts are withdrawn already.
  const now = ledger.rows.devices.get(row.device)
  if (now === undefined || !isMember(now)) return revoked(row.device)
  const merged = cells.merge(placed)
  if (!merged.ok || rollout === undefined) return merged
  const counted = placed.map(({ key: { version }, window }) => ({
    ...{ wave, profile, version },
    counts: armCounts(window),
  }))
  for (const entry of counted) evidence.add({ rollout, ...entry, atMs: nowMs })
  parts.contributions.add(row.device, rollout.id, counted)
  return merged
}

const revoked = (device: string): Result<never> =>
  refuse('ingest.revoked', 'The device is not a member any more.', { found: device })

/** The rollout that the window belongs to, if the device has a part in it. */
function rolloutOf(
  ledger: Ledger,
  { device, facts }: StoredDevice,
  { model, rollout: ref }: MessageOf['telemetry'],
): Rollout | undefined {
  const rollout = ref === null ? undefined : ledger.rows.rollouts.get(ref.id)
  if (ref === null || rollout === undefined || rollout.spec.model !== model) return undefined
  if (ref.wave > rollout.wave || !isTargeted(rollout.spec.targets, facts)) return undefined
  return isReached(rollout, ref.wave, device, targeted()) ? rollout : undefined

  function* targeted(): Generator<string> {
    for (const row of ledger.rows.devices.values()) {
      if (isMember(row) && isTargeted(rollout!.spec.targets, row.facts)) yield row.device
    }
  }
}

interface Shapes {
  check(window: Placed['window'], release: StoredRelease): Result<Placed['window']>
}

/** Shapes are hashes over whole reference profiles: one computation per release. */
function createShapes(): Shapes {
  const shapes = new WeakMap<StoredRelease['manifest'], WindowShape>()
  return {
    check(window, { manifest }) {
      const shape = shapes.get(manifest) ?? windowShape(manifest)
      shapes.set(manifest, shape)
      return checkWindowShape(window, shape)
    },
  }
}
