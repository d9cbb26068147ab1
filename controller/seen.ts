/**
 * Which messages of a device are in the database already, as ranges of sequence numbers for each
 * boot. Pure. Invariant: what was added is seen for ever after.
 *
 * Limit: 64 ranges; one more closes the oldest gap, and what comes for it later counts as a
 * duplicate.
 */

const RANGES_MAX = 64

/** Ascending: first, last, first, last ... */
type Ranges = readonly number[]

export function hasSeen(ranges: Ranges, seq: number): boolean {
  for (let i = 0; i < ranges.length; i += 2) {
    if (seq < ranges[i]!) return false
    if (seq <= ranges[i + 1]!) return true
  }
  return false
}

/** The ranges with `seq` added; those that touch become one. */
export function addSeen(ranges: Ranges, seq: number): Ranges {
  if (hasSeen(ranges, seq)) return ranges
  const added: number[] = []
  let first = seq
  let last = seq
  for (let i = 0; i < ranges.length; i += 2) {
    const [from, to] = [ranges[i]!, ranges[i + 1]!]
    if (to + 1 === first) first = from
    else if (from - 1 === last) last = to
    else added.push(from, to)
  }
  // Insert in order: as many pairs as end before it stand in front.
  let at = 0
  while (at < added.length && added[at]! < first) at += 2
  added.splice(at, 0, first, last)
  if (added.length <= 2 * RANGES_MAX) return added
  return [added[0]!, added[3]!, ...added.slice(4)]
}
