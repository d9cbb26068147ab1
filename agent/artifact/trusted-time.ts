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
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { TrustedDirector } from '../../shared/signing/assignment.ts'
import { checkAsync, type Verifier } from '../../shared/signing/keys.ts'
import { acceptTime } from '../../shared/signing/signed-time.ts'
import type { TrustMemory } from './trust-memory.ts'

export interface TimeServer {
  /** At least 32 hex digits, never the same twice. */
  readonly nonce: () => string
  /** The director's signed answer (signed-time.ts); undefined when there is none. */
  readonly ask: (nonce: string) => Promise<Uint8Array | undefined>
}

export interface TrustedTimeParts {
  readonly fleet: string
  readonly device: string
  readonly verifier: Verifier
  readonly director: () => Promise<Result<TrustedDirector>>
  /** The device's clock. */
  readonly nowMs: () => number
  /** When the newest verified targets expire; undefined before there are any. */
  readonly targetsExpireMs: () => number | undefined
  /** Absent: the clock is taken as it is. */
  readonly time?: TimeServer | undefined
}

/** A clock that stands before this software was written is not set. */
const CLOCK_SET_MS_MIN = Date.UTC(2026, 0, 1)
const ASK_EVERY_MS_MIN = 60_000

export class TrustedTime {
  readonly #parts: TrustedTimeParts
  readonly #memory: TrustMemory
  /** What the clock lacks, as the last answer told. */
  #offsetMs = 0
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: TrustedTimeParts, memory: TrustMemory) {
    this.#parts = parts
    this.#memory = memory
  }

  nowMs(): number {
    return Math.max(this.#parts.nowMs() + this.#offsetMs, this.#memory.floorMs)
  }

  /** Before any check. Errors: `busy.clock_not_set`. */
  async settle(): Promise<Result<undefined>> {
    await this.#memory.load()
    const { time, nowMs } = this.#parts
    const isSet = nowMs() + this.#offsetMs >= CLOCK_SET_MS_MIN
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
    const { time, nowMs, director: directorOf, verifier, fleet, device } = this.#parts
    const startedAtMs = nowMs()
    if (time === undefined || Math.abs(startedAtMs - this.#askedAtMs) < ASK_EVERY_MS_MIN)
      return false
    this.#askedAtMs = startedAtMs
    const nonce = time.nonce()
    const bytes = await time.ask(nonce)
    const director = await directorOf()
    if (bytes === undefined || !director.ok) return false
    const expected = { fleet, device, nonce }
    const told = await checkAsync(acceptTime(bytes, director.value, expected), verifier)
    if (!told.ok) return false
    const atMs = this.#plausible(told.value)
    // The answer was signed after the question was asked, so this is never ahead of the director.
    // Never negative: whoever has the director's key may not turn a clock back.
    this.#offsetMs = Math.max(0, atMs - nowMs())
    await this.#memory.raiseFloor(director.value.directorEpoch, atMs)
    return true
  }

  /** A time that the director of this epoch signed. */
  learn(directorEpoch: number, atMs: number): Promise<void> {
    return this.#memory.raiseFloor(directorEpoch, this.#plausible(atMs))
  }

  /** What the former director told of the time is forgotten. @returns whether there was one. */
  async enterEpoch(directorEpoch: number): Promise<boolean> {
    await this.#memory.load()
    if (!(await this.#memory.enterEpoch(directorEpoch))) return false
    this.#offsetMs = 0
    this.#askedAtMs = Number.NEGATIVE_INFINITY
    return true
  }

  #plausible(atMs: number): number {
    const endMs = this.#parts.targetsExpireMs() ?? Number.POSITIVE_INFINITY
    return Math.min(atMs, Math.max(endMs, this.#parts.nowMs()))
  }
}
