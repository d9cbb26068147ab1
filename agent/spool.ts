/**
 * Telemetry and notices wait here until `dn/ack` says that the controller's database has them; the
 * newest report waits too, in memory only, since every start makes a new one.
 *
 * Invariants:
 * - A message gets its (boot, seq) at its first send, and the journal has that stamp before the
 *   message leaves: after kill -9 or a power cut it goes out again under the same stamp, so at least
 *   once on the wire is exactly once in the database. A stamped interval never merges. Notices and
 *   reports alone leave before that where the disk takes no writes.
 * - Nothing is forgotten but on an acknowledgement, or counted and told by a notice.
 * - Limits: intervals and bytes, see spool-overflow.ts; of notices over `noticesMax` the oldest goes.
 * What a power cut may take: intervals closed since the last journal write, which starts at once.
 */
import type { DeviceNotice, Qualification, Report } from '../shared/model/device.ts'
import type { Ack, NoticeMessage, ReportMessage, Telemetry } from '../shared/protocol/messages.ts'
import type { SpoolEntry, Stamp } from '../shared/protocol/spool-record.ts'
import type { ClosedInterval, SpoolStore } from './ports.ts'
import { type Journal, openJournal } from './spool-journal.ts'
import { hourKey, mergeIntervals, requestsIn } from './spool-merge.ts'
import {
  coarsenOldestDay,
  type Dropped,
  dropOldest,
  tellDropped,
  unsentIntervals,
} from './spool-overflow.ts'

export interface SpoolLimits {
  readonly intervalsMax: number
  readonly bytesMax: number
  readonly noticesMax: number
  /** Messages that may wait for their acknowledgement at once. */
  readonly inFlightMax: number
  /** Without an acknowledgement a message is sent again after this; doubles up to 16 times it. */
  readonly resendAfterMs: number
}

export const SPOOL_LIMITS: SpoolLimits = {
  intervalsMax: 2_000,
  bytesMax: 8 * 1024 * 1024,
  noticesMax: 64,
  inFlightMax: 64,
  resendAfterMs: 30_000,
}

/** A stamped message that is due; `key` names it for `putBack`. */
export type Outgoing =
  | { readonly key: string; readonly kind: 'telemetry'; readonly message: Telemetry }
  | { readonly key: string; readonly kind: 'notice'; readonly message: NoticeMessage }
  | { readonly key: string; readonly kind: 'report'; readonly message: ReportMessage }

export interface Taken {
  readonly due: readonly Outgoing[]
  /** Why the stamps are not durable. */
  readonly unwritten?: unknown
}

interface Sending {
  readonly sentAtMs: number
  readonly times: number
}

interface PendingReport {
  readonly content: Omit<ReportMessage, keyof Stamp>
  stamp: Stamp | null
}

const REPORT_KEY = 'report'

export async function openSpool(
  store: SpoolStore,
  boot: string,
  limits: SpoolLimits = SPOOL_LIMITS,
): Promise<Spool> {
  return new Spool(await openJournal(store), boot, limits)
}

export class Spool {
  readonly #journal: Journal
  readonly #boot: string
  readonly #limits: SpoolLimits
  /** In memory only: after a restart everything stamped is due. */
  readonly #sendings = new Map<string, Sending>()
  #report: PendingReport | undefined
  #seq = 0
  #dropped: Dropped = { windows: 0, requests: 0 }

  constructor(journal: Journal, boot: string, limits: SpoolLimits) {
    this.#journal = journal
    this.#boot = boot
    this.#limits = limits
  }

  addInterval(interval: ClosedInterval, nowMs: number): void {
    const journal = this.#journal
    const key = hourKey(interval)
    const same = unsentIntervals(journal).find((entry) => hourKey(entry.interval) === key)
    const merged = same && mergeIntervals(same.interval, interval)
    const id = merged === undefined ? journal.nextId() : same!.id
    const sum = { ...(merged ?? interval), arms: [...(merged ?? interval).arms] }
    journal.write(['put', { kind: 'interval', id, stamp: null, interval: sum }])
    while (this.#isFull() && (coarsenOldestDay(journal) || this.#dropOldest(nowMs)));
  }

  addNotice(notice: DeviceNotice): void {
    const id = this.#journal.nextId()
    this.#journal.write(['put', { kind: 'notice', id, stamp: null, notice }])
    const notices = this.#journal.entries().filter((entry) => entry.kind === 'notice')
    const excess = notices.slice(0, Math.max(0, notices.length - this.#limits.noticesMax))
    if (excess.length > 0) this.#forget(excess.map((entry) => entry.id))
  }

  /** Replaces a report that is still unacknowledged: only the newest matters. */
  setReport(report: Report, qualifications: readonly Qualification[], nowMs: number): void {
    const content = { atMs: nowMs, report, qualifications: [...qualifications] }
    this.#report = { content, stamp: null }
    this.#sendings.delete(REPORT_KEY)
  }

  /**
   * Stamps and returns what is due; the stamps are durable when it resolves. While the store takes no
   * writes (`unwritten`), only reports and notices come out: they may arrive twice, and what is wrong
   * with the disk has to arrive at all. `nowMs` here and of `nextDueMs` is of a clock that nobody sets.
   */
  async take(nowMs: number): Promise<Taken> {
    const due = [...this.#takeReport(nowMs), ...this.#takeEntries(nowMs)]
    for (const { key } of due) {
      const times = (this.#sendings.get(key)?.times ?? 0) + 1
      this.#sendings.set(key, { sentAtMs: nowMs, times })
    }
    if (due.length === 0) return { due }
    try {
      await this.#journal.flush()
      return { due }
    } catch (unwritten) {
      for (const { key, kind } of due) if (kind === 'telemetry') this.putBack(key)
      return { due: due.filter(({ kind }) => kind !== 'telemetry'), unwritten }
    }
  }

  /** It could not be handed to the network: due again at once, under its stamp. */
  putBack(key: string): void {
    this.#sendings.delete(key)
  }

  /** No broker takes a message of its size: counted and told like any dropped window. */
  drop(key: string, nowMs: number): void {
    if (key === REPORT_KEY) this.#report = undefined
    const entry = this.#journal.entries().find(({ id }) => `${id}` === key)
    this.#sendings.delete(key)
    if (entry === undefined) return
    this.#forget([entry.id])
    if (entry.kind === 'interval') this.#countDropped(requestsIn(entry.interval), nowMs)
  }

  /** A new connection: what is unacknowledged is due again. */
  allDueAgain(): void {
    this.#sendings.clear()
  }

  acknowledge({ boot, stored }: Pick<Ack, 'boot' | 'stored'>): void {
    const seqs = new Set(stored)
    const isAcked = (stamp: Stamp | null) =>
      stamp !== null && stamp.boot === boot && seqs.has(stamp.seq)
    const ids = this.#journal
      .entries()
      .filter((entry) => isAcked(entry.stamp))
      .map((entry) => entry.id)
    if (ids.length > 0) this.#forget(ids)
    if (this.#report !== undefined && isAcked(this.#report.stamp)) {
      this.#report = undefined
      this.#sendings.delete(REPORT_KEY)
    }
  }

  /** When something that was sent is due again; undefined when nothing waits. */
  nextDueMs(): number | undefined {
    const times = [...this.#sendings.values()].map((sending) => this.#dueAtMs(sending))
    return times.length === 0 ? undefined : Math.min(...times)
  }

  /** Resolves when everything so far survives a power cut. */
  flush(): Promise<void> {
    return this.#journal.flush()
  }

  size(): { readonly entries: number; readonly bytes: number; readonly dropped: Dropped } {
    const { length } = this.#journal.entries()
    return { entries: length, bytes: this.#journal.liveBytes(), dropped: this.#dropped }
  }

  #takeReport(nowMs: number): Outgoing[] {
    const pending = this.#report
    if (pending === undefined || !this.#isDue(REPORT_KEY, nowMs)) return []
    pending.stamp ??= this.#nextStamp()
    const message = { ...pending.stamp, ...pending.content }
    return [{ key: REPORT_KEY, kind: 'report', message }]
  }

  #takeEntries(nowMs: number): Outgoing[] {
    const entries = this.#journal.entries()
    const stamped = entries.filter((entry) => entry.stamp !== null)
    const room = Math.max(0, this.#limits.inFlightMax - stamped.length)
    const fresh = entries.filter((entry) => entry.stamp === null).slice(0, room)
    const again = stamped.filter((entry) => this.#isDue(`${entry.id}`, nowMs))
    return [
      ...again.slice(0, this.#limits.inFlightMax).map((entry) => outgoing(entry, entry.stamp!)),
      ...fresh.map((entry) => {
        const stamp = this.#nextStamp()
        this.#journal.write(['stamp', entry.id, stamp])
        return outgoing(entry, stamp)
      }),
    ]
  }

  #isDue(key: string, nowMs: number): boolean {
    const sending = this.#sendings.get(key)
    return sending === undefined || nowMs >= this.#dueAtMs(sending)
  }

  #dueAtMs({ sentAtMs, times }: Sending): number {
    return sentAtMs + this.#limits.resendAfterMs * 2 ** Math.min(times - 1, 4)
  }

  #nextStamp(): Stamp {
    this.#seq += 1
    return { boot: this.#boot, seq: this.#seq }
  }

  #isFull(): boolean {
    const { intervalsMax, bytesMax } = this.#limits
    const intervals = this.#journal.entries().filter((entry) => entry.kind === 'interval')
    return intervals.length > intervalsMax || this.#journal.liveBytes() > bytesMax
  }

  #dropOldest(nowMs: number): boolean {
    const gone = dropOldest(this.#journal)
    if (gone !== undefined) this.#countDropped(requestsIn(gone.interval), nowMs)
    return gone !== undefined
  }

  #countDropped(requests: number, nowMs: number): void {
    const { windows, requests: before } = this.#dropped
    this.#dropped = { windows: windows + 1, requests: before + requests }
    tellDropped(this.#journal, this.#dropped, nowMs)
  }

  #forget(ids: readonly number[]): void {
    this.#journal.write(['forget', [...ids]])
    for (const id of ids) this.#sendings.delete(`${id}`)
  }
}

function outgoing(entry: SpoolEntry, stamp: Stamp): Outgoing {
  const key = `${entry.id}`
  return entry.kind === 'interval'
    ? { key, kind: 'telemetry', message: { ...stamp, ...entry.interval } }
    : { key, kind: 'notice', message: { ...stamp, notice: entry.notice } }
}
