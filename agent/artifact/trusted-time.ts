/**
 * "Now" as the checks of this device take it: its clock, never behind the newest time that the
 * director signed; where the clock is not set, what the director answers to a question of its own.
 *
 * Invariants: within one epoch of the director time never goes back; an unset clock and no answer
 * mean that nothing is changed, never that anything counts as fresh. What the director signs moves
 * the time no further than the newest verified targets are valid: they are signed offline, and the
 * next ones move it on. On a device that has never verified any, its first jump has no bound; a new
 * root with a new director's epoch undoes it.
 */
import { ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import type { TrustedDirector } from '../../shared/signing/assignment.ts'
import { checkAsync, type Verifier } from '../../shared/signing/keys.ts'
import { acceptTime } from '../../shared/signing/signed-time.ts'
import type { Clock } from '../ports.ts'
import type { TrustMemory } from './trust-memory.ts'

export interface TimeServer {
  /** At least 32 hex digits, never the same twice. */
  readonly nonce: () => string
  /** The director's signed answer (signed-time.ts); undefined when there is none. */
  readonly ask: (nonce: string) => Promise<Uint8Array | undefined>
}

/** The device's own: `nowMs` may be wrong, and set while it runs. */
export type TimeSource = Pick<Clock, 'nowMs' | 'monotonicMs'>

export interface TrustedTimeParts {
  readonly fleet: string
  readonly device: string
  readonly verifier: Verifier
  readonly director: () => Promise<Result<TrustedDirector>>
  readonly clock: TimeSource
  /** When the newest verified targets expire; undefined before there are any. */
  readonly targetsExpireMs: () => number | undefined
  /** Looks for a newer root, which may name another director; needs no time. */
  readonly followRoots: () => Promise<void>
  /** An answer that was not the director's to this question. */
  readonly onRefused: (problem: Problem) => void
  /** Absent: the clock is taken as it is. */
  readonly time?: TimeServer | undefined
}

/** A clock that stands before this software was written is not set. */
const CLOCK_SET_MS_MIN = Date.UTC(2026, 0, 1)
const ASK_EVERY_MS_MIN = 60_000

/** A time that was told, and when, so that it goes on whatever is done to the clock. */
interface Told {
  readonly atMs: number
  readonly monotonicMs: number
}

export class TrustedTime {
  readonly #parts: TrustedTimeParts
  readonly #memory: TrustMemory
  /** The last answer. */
  #told: Told | undefined
  /** The answer that is furthest ahead. */
  #furthest: Told | undefined
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: TrustedTimeParts, memory: TrustMemory) {
    this.#parts = parts
    this.#memory = memory
  }

  nowMs(): number {
    return Math.max(this.#parts.clock.nowMs(), this.#goneOn(this.#furthest), this.#memory.floorMs)
  }

  /**
   * What the controller would say that it is, for tokens and stamps: the last answer, also where that
   * is behind the clock, else the clock. Nothing is checked against it.
   */
  claimedMs(): number {
    return this.#told === undefined ? this.#parts.clock.nowMs() : this.#goneOn(this.#told)
  }

  /** Before any check. Errors: `busy.clock_not_set`. */
  async settle(): Promise<Result<undefined>> {
    await this.#memory.load()
    const { time, clock } = this.#parts
    const isSet = Math.max(clock.nowMs(), this.#goneOn(this.#furthest)) >= CLOCK_SET_MS_MIN
    if (time === undefined || isSet || (await this.ask())) return ok()
    // What the director signed last is behind the truth, which can only refuse too much.
    if (this.#memory.floorMs >= CLOCK_SET_MS_MIN) return ok()
    return refuse('busy.clock_not_set', 'The clock is not set and nobody told the time.', {
      found: new Date(this.nowMs()).toISOString(),
      next: 'set the clock, or let the device reach its controller',
    })
  }

  /** True when the director told the time; at most once a minute. */
  async ask(): Promise<boolean> {
    const { time, clock, onRefused, followRoots } = this.#parts
    const startedAtMs = clock.monotonicMs()
    if (time === undefined || startedAtMs - this.#askedAtMs < ASK_EVERY_MS_MIN) return false
    this.#askedAtMs = startedAtMs
    await this.#memory.load()
    const nonce = time.nonce()
    const bytes = await time.ask(nonce)
    if (bytes === undefined) return false
    let told = await this.#check(bytes, nonce)
    if (!told.ok && told.error.code === 'time.signature') {
      await followRoots()
      told = await this.#check(bytes, nonce)
    }
    if (!told.ok) {
      onRefused(told.error)
      return false
    }
    const { directorEpoch, timeMs } = told.value
    // What a former director told is worth nothing beside this.
    if (await this.enterEpoch(directorEpoch)) this.#askedAtMs = startedAtMs
    const atMs = this.#plausible(timeMs)
    // The answer was signed after the question was asked, so this is never ahead of the director.
    this.#told = { atMs, monotonicMs: clock.monotonicMs() }
    // Whoever has the director's key may not turn a clock back.
    if (atMs > this.#goneOn(this.#furthest)) this.#furthest = this.#told
    await this.#memory.raiseFloor(directorEpoch, atMs)
    return true
  }

  /** Errors: those of `acceptTime`, `tuf.*`. */
  async #check(
    bytes: Uint8Array,
    nonce: string,
  ): Promise<Result<{ directorEpoch: number; timeMs: number }>> {
    const { director: directorOf, verifier, fleet, device } = this.#parts
    const director = await directorOf()
    if (!director.ok) return director
    const checking = acceptTime(bytes, director.value, { fleet, device, nonce })
    const told = await checkAsync(checking, verifier)
    const { directorEpoch } = director.value
    return told.ok ? ok({ directorEpoch, timeMs: told.value }) : told
  }

  /** A time that the director of this epoch signed. */
  learn(directorEpoch: number, atMs: number): Promise<void> {
    return this.#memory.raiseFloor(directorEpoch, this.#plausible(atMs))
  }

  /** What the former director told of the time is forgotten. @returns whether there was one. */
  async enterEpoch(directorEpoch: number): Promise<boolean> {
    await this.#memory.load()
    if (!(await this.#memory.enterEpoch(directorEpoch))) return false
    this.#told = undefined
    this.#furthest = undefined
    this.#askedAtMs = Number.NEGATIVE_INFINITY
    return true
  }

  #goneOn(told: Told | undefined): number {
    if (told === undefined) return Number.NEGATIVE_INFINITY
    // Times are whole milliseconds; this never runs ahead.
    return told.atMs + Math.floor(this.#parts.clock.monotonicMs() - told.monotonicMs)
  }

  #plausible(atMs: number): number {
    const endMs = this.#parts.targetsExpireMs() ?? Number.POSITIVE_INFINITY
    return Math.min(atMs, Math.max(endMs, this.#parts.clock.nowMs()))
  }
}
