/**
 * The simulated world: one heap of events, one virtual time, one tree of random streams. Invariant:
 * the seed and the code decide everything that happens; two runs give the same trace, byte for byte.
 *
 * Promises are allowed between ports if only events and other promises resolve them: after each
 * event the world lets them all run before it goes on. Nothing here knows what is simulated.
 */
import { createHash } from 'node:crypto'
import { createPrng, type Prng } from '../../shared/kernel/prng.ts'
import { EventHeap } from './event-heap.ts'

/** Simulated time starts here: Monday, 5 January 2026, 12:00 UTC. */
export const WORLD_START_MS = Date.UTC(2026, 0, 5, 12)

export interface Trace {
  /** One line of the story: it goes into the digest, and to `print` if there is one. */
  line(subject: string, text: string): void
  /** SHA-256 of all lines so far. */
  digest(): string
}

/** Something that may die with everything it still meant to do: a process, a device's power. */
export interface Life {
  readonly alive: boolean
  after(delayMs: number, task: () => void): () => void
  /** Resolves after `delayMs`; never, once the life has ended. */
  wait(delayMs: number): Promise<void>
  end(): void
}

export class World {
  readonly trace: Trace
  readonly #root: Prng
  readonly #heap = new EventHeap()
  #nowMs = WORLD_START_MS
  #sequence = 0
  #events = 0

  constructor(seed: string | number, print?: (line: string) => void) {
    this.#root = createPrng(`linnet-sim/${seed}`)
    this.trace = createTrace(() => this.#nowMs, print)
  }

  /** Whole milliseconds, as clocks tell them. */
  nowMs(): number {
    return Math.floor(this.#nowMs)
  }

  /** Events that happened. */
  events(): number {
    return this.#events
  }

  /** A stream of its own for each label: adding a device does not change another's luck. */
  prng(label: string): Prng {
    return this.#root.split(label)
  }

  after(delayMs: number, run: () => void): () => void {
    const atMs = this.#nowMs + Math.max(0, delayMs)
    const event = { atMs, sequence: this.#sequence++, run, cancelled: false }
    this.#heap.push(event)
    return () => {
      event.cancelled = true
    }
  }

  newLife(): Life {
    return new WorldLife(this)
  }

  /**
   * Lets everything happen that is due before `untilMs`, then stands at `untilMs`.
   * @param afterEvent runs once everything that an event set off has settled; true ends the run.
   */
  async run(untilMs: number, afterEvent: () => boolean = () => false): Promise<void> {
    await settle()
    for (;;) {
      const next = this.#heap.peek()
      if (next === undefined || next.atMs > untilMs) break
      this.#heap.pop()
      if (next.cancelled) continue
      this.#nowMs = next.atMs
      this.#events += 1
      next.run()
      await settle()
      if (afterEvent()) return
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs)
  }
}

class WorldLife implements Life {
  readonly #world: World
  #alive = true

  constructor(world: World) {
    this.#world = world
  }

  get alive(): boolean {
    return this.#alive
  }

  after(delayMs: number, task: () => void): () => void {
    return this.#world.after(delayMs, () => {
      if (this.#alive) task()
    })
  }

  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve)
    })
  }

  end(): void {
    this.#alive = false
  }
}

/** A turn of the real event loop comes only after every promise that can run has run. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

function createTrace(nowMs: () => number, print?: (line: string) => void): Trace {
  const hash = createHash('sha256')
  return {
    line(subject, text) {
      const line = `${((nowMs() - WORLD_START_MS) / 1000).toFixed(3)} ${subject} ${text}`
      hash.update(line)
      hash.update('\n')
      print?.(line)
    },
    digest: () => hash.copy().digest('hex'),
  }
}
