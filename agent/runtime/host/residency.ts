/**
 * Which sessions of this host are in memory. A release whose session went keeps its place in the
 * routes: the next request brings it back. Who goes is decided by shared/placement.
 *
 * Invariants: one load at a time, and one per release however many wait for it; a session is
 * released only while no request uses it, and never that of a rollout's arm; what is loaded and
 * does not fit is released again, with the figures.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { err, ok, type Result, toProblem, unwrap } from '../../../shared/kernel/result.ts'
import { idleFor, makeRoom, type Resident } from '../../../shared/placement/placement.ts'
import type { ModelSession } from '../model-session.ts'
import { type LiveRelease, liveRelease } from '../plane/live-release.ts'
import type { HostPlan, HostRelease } from './host-protocol.ts'
import {
  asRefusal,
  entryOf,
  lastingSession,
  learnBytes,
  leastBytes,
  nameOf,
  notReady,
  type ResidenceEntry,
  type Role,
  rolesOf,
  type SleepReason,
  shaOf,
} from './residence-entry.ts'

export interface ResidencyOptions {
  /** For all sessions together. */
  readonly bytesMax: number
  /** Sessions that nobody asked for so long are released; null: never. */
  readonly idleMs: number | null
  readonly nowMs: () => number
  /** Of the whole process, to measure what a load takes. */
  readonly residentBytes: () => number
  /** Loads and warms up. Errors (thrown): those of the loader. */
  readonly load: (release: HostRelease) => Promise<ModelSession>
  /** Told before and after each load, which may block for long. */
  readonly onLoading: (sha256: string | null) => void
  readonly onChange: (change: ResidenceChange) => void
}

export interface ResidenceChange {
  readonly model: string
  readonly version: string
  readonly change: 'released' | 'reloaded' | 'not reloaded'
  readonly reason: string
}

export interface ResidenceRow {
  readonly model: string
  readonly version: string
  /** What it takes, or would. */
  readonly bytes: number
  readonly isAwake: boolean
  readonly loads: number
  readonly releases: Readonly<Record<SleepReason, number>>
}

/** How long a load waits for models in use to become free. */
const ROOM_MS_MAX = 1_000
const ROOM_CHECK_MS = 20
const WAITING_MAX = 256

export class Residency {
  readonly #options: ResidencyOptions
  readonly #entries = new Map<string, ResidenceEntry>()
  #roles: ReadonlyMap<string, Role> = new Map()
  #turn: Promise<unknown> = Promise.resolve()
  #count = 0
  #waiting = 0
  /** Requests so far that found their session in memory. */
  #runs = 0

  #bytesMax: number

  constructor(options: ResidencyOptions) {
    this.#options = options
    this.#bytesMax = options.bytesMax
  }

  bytesMax(): number {
    return this.#bytesMax
  }

  /** Another budget from now on; what is too much for it leaves as soon as nobody uses it. */
  bound(bytesMax: number): void {
    const isLess = bytesMax < this.#bytesMax
    this.#bytesMax = bytesMax
    if (!isLess) return
    void this.#inTurn(async () => {
      const made = makeRoom(this.#residents(), 0, bytesMax)
      if (made.ok) await this.#putToSleep(made.value, 'room', 'less memory for this host')
    })
  }

  /** Loads a release. Errors (thrown): `placement.*`, and those of the loader. */
  async admit(release: HostRelease): Promise<LiveRelease> {
    this.#count += 1
    const entry = entryOf(`${this.#count}`, release)
    this.#entries.set(entry.key, entry)
    const forget = (): void => void this.#entries.delete(entry.key)
    try {
      unwrap(await this.#inTurn(() => this.#bring(entry)))
    } catch (cause) {
      forget()
      throw cause
    }
    // Another load may have taken its place since; its tensors are those of the manifest.
    const { inputs, outputs } = entry.session ?? release.resolved.manifest
    const session = lastingSession(entry, { inputs, outputs }, forget)
    const { nowMs } = this.#options
    return {
      ...liveRelease(release, session, setImmediate),
      residence: {
        enter: () => {
          entry.users += 1
          if (entry.session !== null) this.#runs += 1
        },
        leave: () => {
          entry.users -= 1
          entry.lastUsedMs = nowMs()
        },
        follow: (newer) => {
          entry.release = newer
        },
        wake: (deadlineAtMs) => (entry.session ? undefined : this.#wake(entry, deadlineAtMs)),
      },
    }
  }

  /** The plan that comes: its arms stay in memory, what it keeps for a rollback goes first. */
  expect(plan: Pick<HostPlan, 'models'>): void {
    this.#roles = rolesOf(plan)
  }

  /** Releases what has been idle for too long. */
  async sleepIdle(): Promise<void> {
    const { idleMs, nowMs } = this.#options
    if (idleMs === null) return
    const reason = `idle for ${Math.round(idleMs / 1000)} s`
    await this.#inTurn(() =>
      this.#putToSleep(idleFor(this.#residents(), nowMs(), idleMs), 'idle', reason),
    )
  }

  rows(): readonly ResidenceRow[] {
    return [...this.#entries.values()].map((entry) => ({
      ...nameOf(entry),
      bytes: entry.bytes,
      isAwake: entry.session !== null,
      loads: entry.loads,
      releases: entry.releases,
    }))
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(task)
    this.#turn = done.catch(() => undefined)
    return done
  }

  #residents(except?: ResidenceEntry): Resident[] {
    return [...this.#entries.values()]
      .filter((entry) => entry.session !== null && entry !== except)
      .map((entry) => {
        const { key, bytes, lastUsedMs, users } = entry
        const role = this.#roles.get(shaOf(entry))
        const isHeld = users > 0 || role === 'arm'
        return { key, bytes, lastUsedMs, isHeld, isSpare: role === 'spare' }
      })
  }

  async #putToSleep(keys: readonly string[], why: SleepReason, reason: string): Promise<void> {
    for (const key of keys) {
      const entry = this.#entries.get(key)
      const session = entry?.session
      if (entry === undefined || !session || entry.users > 0) continue
      entry.session = null
      entry.releases[why] += 1
      this.#options.onChange({ ...nameOf(entry), change: 'released', reason })
      await nextTurn()
      await session.release().catch(() => undefined)
    }
  }

  /** Waits a while for models in use. Errors: `placement.*`. */
  async #makeRoomFor(entry: ResidenceEntry, bytes: number): Promise<Result<undefined>> {
    const { nowMs } = this.#options
    const { model, version } = nameOf(entry)
    const untilMs = nowMs() + ROOM_MS_MAX
    for (;;) {
      const made = makeRoom(this.#residents(entry), bytes, this.#bytesMax)
      if (made.ok) {
        await this.#putToSleep(made.value, 'room', `room for ${model}@${version}`)
        return ok()
      }
      if (made.error.code !== 'placement.no_room' || nowMs() > untilMs) return made
      await sleep(ROOM_CHECK_MS)
    }
  }

  /** Errors: `placement.*`; those of the loader are thrown. */
  async #bring(entry: ResidenceEntry): Promise<Result<undefined>> {
    const { nowMs, residentBytes, onLoading, load } = this.#options
    if (entry.session !== null || entry.isGone) return ok()
    const room = await this.#makeRoomFor(entry, leastBytes(entry))
    if (!room.ok) return room
    const isQuiet = [...this.#entries.values()].every((e) => e.session === null || e.users === 0)
    const runs = this.#runs
    const beforeBytes = residentBytes()
    const startMs = nowMs()
    onLoading(shaOf(entry))
    const session = await load(entry.release).finally(() => onLoading(null))
    entry.loadMs = nowMs() - startMs
    entry.lastUsedMs = nowMs()
    learnBytes(entry, residentBytes() - beforeBytes, {
      isQuiet: isQuiet && runs === this.#runs,
      bytesMax: this.#bytesMax,
    })
    entry.loads += 1
    // What it really takes may be known only now.
    const fits = entry.isGone ? ok() : await this.#makeRoomFor(entry, entry.bytes)
    if (fits.ok && !entry.isGone) entry.session = session
    else await session.release()
    return fits
  }

  /** Errors: `infer.not_ready`. */
  #wake(entry: ResidenceEntry, deadlineAtMs: number): Promise<Result<undefined>> {
    const { nowMs, onChange } = this.#options
    if (this.#waiting >= WAITING_MAX) return Promise.resolve(notReady(entry))
    entry.waking ??= this.#inTurn(() => this.#bring(entry))
      .catch((cause: unknown) => err(toProblem(cause, 'runtime.load_failed')))
      .then((woken) => {
        entry.waking = null
        const change = woken.ok ? 'reloaded' : 'not reloaded'
        const reason = woken.ok ? `asked; took ${entry.loadMs.toFixed(0)} ms` : woken.error.message
        onChange({ ...nameOf(entry), change, reason })
        return woken
      })
    const leftMs = deadlineAtMs - nowMs()
    if (entry.loadMs > leftMs) return Promise.resolve(notReady(entry))
    this.#waiting += 1
    const woken = entry.waking.then(asRefusal).finally(() => {
      this.#waiting -= 1
    })
    if (leftMs === Infinity) return woken
    return Promise.race([woken, sleep(leftMs, notReady(entry), { ref: false })])
  }
}
