/**
 * The lines between devices and the broker: delay, loss, duplicates, reordering, partitions and
 * flapping, each drawn from the streams of its device. What a broker is lies beyond (broker.ts).
 *
 * Invariant: without faults every message arrives once and in order, 20 to 40 ms later.
 */
import type { Prng } from '../../shared/kernel/prng.ts'
import type { Weather } from './faults.ts'
import type { World } from './world.ts'

const DELAY_MS_MIN = 20
const DELAY_MS_SPREAD = 20
const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS

/** One device's line; both ends share it. */
export interface Line {
  /** Whether a connection can be made and kept. */
  isUp(): boolean
  /** Called when the line breaks. */
  onBreak(handler: (reason: string) => void): void
  /**
   * Carries something: `deliver` runs not at all, once, or more often. What MQTT promises to deliver
   * (QoS 1) is lost only together with the connection, as over TCP.
   */
  carry(qos: 0 | 1, deliver: () => void): void
  /** One way, without loss: what TCP would see. */
  delayMs(): number
  /** Starts and ends the outages that the seed has for this line. */
  start(): void
}

export function createLine(world: World, weather: Weather, name: string): Line {
  return new SimulatedLine(world, weather, name)
}

class SimulatedLine implements Line {
  readonly #world: World
  readonly #weather: Weather
  readonly #name: string
  readonly #random: Prng
  readonly #outages: Prng
  #up = true
  /** Nothing that is not held back overtakes what left before. */
  #earliestMs = 0
  #onBreak: (reason: string) => void = () => undefined

  constructor(world: World, weather: Weather, name: string) {
    this.#world = world
    this.#weather = weather
    this.#name = name
    this.#random = world.prng(`line/${name}`)
    this.#outages = world.prng(`outages/${name}`)
  }

  isUp(): boolean {
    return this.#up
  }

  onBreak(handler: (reason: string) => void): void {
    this.#onBreak = handler
  }

  delayMs(): number {
    const random = this.#random
    const slow = this.#weather.of('delay')
    const extraMs = slow > 0 ? random.exponential(slow * 5 * SECOND_MS) : 0
    return DELAY_MS_MIN + random.unit() * DELAY_MS_SPREAD + extraMs
  }

  carry(qos: 0 | 1, deliver: () => void): void {
    const random = this.#random
    const { trace } = this.#world
    if (random.chance(this.#weather.of('loss') * 0.3)) {
      trace.line(this.#name, `network: lost, QoS ${qos}`)
      if (qos === 1) this.#onBreak('loss')
      return
    }
    const times = random.chance(this.#weather.of('duplicates') * 0.3) ? 2 : 1
    for (let i = 0; i < times; i++) {
      if (i > 0) trace.line(this.#name, 'network: duplicated')
      this.#world.after(this.#arrivalDelayMs(), deliver)
    }
  }

  #arrivalDelayMs(): number {
    const nowMs = this.#world.nowMs()
    const delayMs = this.delayMs()
    if (this.#random.chance(this.#weather.of('reordering') * 0.3)) {
      return delayMs + this.#random.exponential(20 * SECOND_MS)
    }
    this.#earliestMs = Math.max(this.#earliestMs, nowMs + delayMs)
    return this.#earliestMs - nowMs
  }

  start(): void {
    this.#scheduleOutage('partition', 120 * MINUTE_MS, 10 * MINUTE_MS)
    this.#scheduleOutage('flapping', 10 * MINUTE_MS, 2 * SECOND_MS)
  }

  /** @param everyMs mean time between outages at full intensity. */
  #scheduleOutage(kind: 'partition' | 'flapping', everyMs: number, lengthMs: number): void {
    const intensity = this.#weather.of(kind)
    if (intensity === 0) return
    this.#world.after(this.#outages.exponential(everyMs / intensity), () => {
      if (this.#weather.of(kind) === 0) return
      this.#break(kind)
      this.#world.after(this.#outages.exponential(lengthMs), () => {
        this.#up = true
        this.#world.trace.line(this.#name, `network: ${kind} ends`)
        this.#scheduleOutage(kind, everyMs, lengthMs)
      })
    })
  }

  #break(kind: string): void {
    this.#up = false
    this.#world.trace.line(this.#name, `network: ${kind} begins`)
    this.#onBreak(kind)
  }
}
