/**
 * A device's clock: wrong by an offset, running fast or slow, and set anew now and then. Timers run
 * on its own oscillator; what the time of day says does not move them.
 */
import type { Clock } from '../../agent/ports.ts'
import type { Prng } from '../../shared/kernel/prng.ts'
import type { Weather } from './faults.ts'
import type { Life, World } from './world.ts'

const OFFSET_MS_MAX = 3_600_000
const DRIFT_MAX = 0.001
const JUMP_EVERY_MS = 4 * 3_600_000

/** The part that outlives restarts. */
export class Oscillator {
  readonly #world: World
  readonly #random: Prng
  readonly #weather: Weather
  #drift = 0
  #offsetMs = 0

  constructor(world: World, random: Prng, weather: Weather) {
    this.#world = world
    this.#random = random
    this.#weather = weather
  }

  start(): void {
    this.#drift = this.#weather.of('clock') * DRIFT_MAX * (2 * this.#random.unit() - 1)
    this.#jump()
  }

  /** A clock that heals is set right by the network, as by NTP. */
  nowMs(): number {
    const nowMs = this.#world.nowMs()
    return this.#weather.of('clock') === 0 ? nowMs : Math.floor(nowMs + this.#offsetMs)
  }

  monotonicMs(): number {
    return this.#world.nowMs() * this.rate
  }

  get rate(): number {
    return 1 + this.#drift
  }

  #jump(): void {
    const intensity = this.#weather.of('clock')
    if (intensity === 0) return
    this.#offsetMs = intensity * OFFSET_MS_MAX * (2 * this.#random.unit() - 1)
    this.#world.after(this.#random.exponential(JUMP_EVERY_MS), () => this.#jump())
  }
}

export function createDeviceClock(oscillator: Oscillator, life: Life): Clock {
  return {
    nowMs: () => oscillator.nowMs(),
    monotonicMs: () => oscillator.monotonicMs(),
    after: (delayMs, task) => life.after(delayMs / oscillator.rate, task),
  }
}
