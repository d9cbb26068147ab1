/**
 * Counts many small things at once. After a run of a model nothing of ours is left in the processor's
 * caches, so counting one request there takes twenty times as long as counting it among others.
 * Invariant: each item is counted once, in order; whoever reads the counts settles first.
 */

/** Items that wait: few enough that counting them is felt by nobody. */
const TOGETHER = 32

export interface CountedTogether<T> {
  add(item: T): void
  /** Counts all that waits. */
  settle(): void
}

export function countTogether<T>(count: (item: T) => void): CountedTogether<T> {
  const waiting: T[] = []
  const settle = (): void => {
    for (let i = 0; i < waiting.length; i++) count(waiting[i]!)
    waiting.length = 0
  }
  return {
    add(item) {
      waiting.push(item)
      if (waiting.length >= TOGETHER) settle()
    },
    settle,
  }
}
