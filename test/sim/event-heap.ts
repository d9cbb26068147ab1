/**
 * What is going to happen, ordered by (time, sequence): of two events at one time the one scheduled
 * first comes first, so that a run never depends on how a heap is built.
 */
export interface ScheduledEvent {
  readonly atMs: number
  readonly sequence: number
  readonly run: () => void
  cancelled: boolean
}

export class EventHeap {
  readonly #events: ScheduledEvent[] = []

  get size(): number {
    return this.#events.length
  }

  peek(): ScheduledEvent | undefined {
    return this.#events[0]
  }

  push(event: ScheduledEvent): void {
    const events = this.#events
    let i = events.length
    events.push(event)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!isBefore(event, events[parent]!)) break
      events[i] = events[parent]!
      i = parent
    }
    events[i] = event
  }

  pop(): ScheduledEvent | undefined {
    const events = this.#events
    const first = events[0]
    const last = events.pop()
    if (first === undefined || last === undefined || events.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= events.length) break
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child += 1
      if (!isBefore(events[child]!, last)) break
      events[i] = events[child]!
      i = child
    }
    events[i] = last
    return first
  }
}

function isBefore(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence)
}
