/**
 * The two lines in front of the processor, one for each priority, each bounded. `high` goes first, but
 * never more than `HIGH_IN_A_ROW` runs in a row while somebody waits in `normal`: every fifth run at
 * the latest is a normal one, so no request starves.
 */
import type { Priority } from '../../data-plane.ts'

export interface Waiting {
  readonly priority: Priority
}

export interface WaitingLines<T extends Waiting> {
  push(entry: T): void
  /** In front of its line: it was taken already and has to wait once more. */
  putBack(entry: T): void
  /** The next that runs. */
  take(): T | undefined
  /** Takes out those that join the last one taken, asked in order, its own line first. */
  takeMates(joins: (entry: T) => boolean): T[]
  length(priority?: Priority): number
  all(): readonly T[]
  /** How many go before who comes now. */
  ahead(priority: Priority): number
}

const HIGH_IN_A_ROW = 4

export function createWaitingLines<T extends Waiting>(): WaitingLines<T> {
  const high: T[] = []
  const normal: T[] = []
  /** Runs of `high` since one of `normal`, while that one waited. */
  let inARow = 0
  let lastTaken: Priority = 'normal'
  const lineOf = (priority: Priority): T[] => (priority === 'high' ? high : normal)

  function extract(line: T[], joins: (entry: T) => boolean, into: T[]): void {
    let kept = 0
    for (let i = 0; i < line.length; i++) {
      const entry = line[i]!
      if (joins(entry)) into.push(entry)
      else line[kept++] = entry
    }
    line.length = kept
  }

  return {
    push: (entry) => void lineOf(entry.priority).push(entry),
    putBack: (entry) => void lineOf(entry.priority).unshift(entry),
    take() {
      const isNormalsTurn = normal.length > 0 && inARow >= HIGH_IN_A_ROW
      const takesHigh = high.length > 0 && !isNormalsTurn
      inARow = takesHigh && normal.length > 0 ? inARow + 1 : 0
      lastTaken = takesHigh ? 'high' : 'normal'
      return takesHigh ? high.shift() : normal.shift()
    },
    takeMates(joins) {
      const mates: T[] = []
      extract(lineOf(lastTaken), joins, mates)
      extract(lineOf(lastTaken === 'high' ? 'normal' : 'high'), joins, mates)
      return mates
    },
    length: (priority) =>
      priority === undefined ? high.length + normal.length : lineOf(priority).length,
    all: () => [...high, ...normal],
    ahead: (priority) => (priority === 'high' ? high.length : high.length + normal.length),
  }
}
