/**
 * What all hosts counted together, since the front started. Invariant: the total of what only grows
 * never falls: a host's counts begin at zero again when it is restarted, and what it had told in its
 * former life stays in the total.
 */
export interface RunningTotal<T> {
  /** The newest word of a host in this life. */
  see(id: string, life: number, value: T): void
  /** @param live hosts there are now: of others only what lasts is counted. */
  total(live: ReadonlySet<string>): T
}

export interface Sum<T> {
  readonly zero: T
  add(a: T, b: T): T
  /** What stays of a host that ended. */
  lasting(value: T): T
}

/** Hosts there were; the figures of the oldest that ended join the past before that. */
const HOSTS_MAX = 64

export function createRunningTotal<T>(sum: Sum<T>): RunningTotal<T> {
  let past = sum.zero
  const newest = new Map<string, { life: number; value: T }>()
  const end = (id: string): void => {
    const ended = newest.get(id)
    if (ended !== undefined) past = sum.add(past, sum.lasting(ended.value))
    newest.delete(id)
  }
  return {
    see(id, life, value) {
      const known = newest.get(id)
      if (known !== undefined && known.life > life) return
      if (known !== undefined && known.life < life) end(id)
      const oldest = newest.keys().next()
      if (!newest.has(id) && newest.size >= HOSTS_MAX && !oldest.done) end(oldest.value)
      newest.set(id, { life, value })
    },
    total(live) {
      let total = past
      for (const [id, { value }] of newest) {
        total = sum.add(total, live.has(id) ? value : sum.lasting(value))
      }
      return total
    },
  }
}
