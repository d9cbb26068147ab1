/**
 * Which models stay in memory: who goes when another one needs room, and who has been idle for too
 * long. Decisions over plain data; whoever holds the sessions carries them out.
 */
import { ok, type Result, refuse } from '../kernel/result.ts'

export interface Resident {
  readonly key: string
  readonly bytes: number
  /** When it was last asked, or loaded. */
  readonly lastUsedMs: number
  /** Requests are under way, or it is an arm of a rollout: it stays. */
  readonly isHeld: boolean
  /** Kept for a rollback only: goes before those that answer. */
  readonly isSpare: boolean
}

const MIB = 2 ** 20

/**
 * Who must go so that `needBytes` fit beside the rest: spares first, then the least recently used.
 * Nobody goes who could stay. @returns keys, in the order of going.
 * Errors: `placement.too_large` (it fits in no case), `placement.no_room` (others are in use).
 */
export function makeRoom(
  residents: readonly Resident[],
  needBytes: number,
  budgetBytes: number,
): Result<readonly string[]> {
  if (needBytes > budgetBytes) {
    return refuse('placement.too_large', 'The model needs more memory than this host may use.', {
      expected: `at most ${inMib(budgetBytes)}`,
      found: inMib(needBytes),
      next: 'choose a smaller variant, or raise the limit',
    })
  }
  let excess = sumOf(residents) + needBytes - budgetBytes
  const going: Resident[] = []
  for (const resident of residents.filter(({ isHeld }) => !isHeld).toSorted(byWorth)) {
    if (excess <= 0) break
    going.push(resident)
    excess -= resident.bytes
  }
  if (excess > 0) {
    const held = residents.filter(({ isHeld }) => isHeld)
    return refuse('placement.no_room', 'The models in use leave no memory for this one.', {
      expected: `${inMib(needBytes)} of ${inMib(budgetBytes)}`,
      found: `${inMib(sumOf(held))} in use by ${held.length} models`,
      next: 'try again in 1 s',
    })
  }
  return ok(withoutNeedless(going, -excess).map(({ key }) => key))
}

/** A large one may make those needless that were to go before it: they stay, the worthiest first. */
function withoutNeedless(going: readonly Resident[], spareBytes: number): Resident[] {
  let leftBytes = spareBytes
  const needed: Resident[] = []
  for (const resident of going.toReversed()) {
    if (resident.bytes <= leftBytes) leftBytes -= resident.bytes
    else needed.unshift(resident)
  }
  return needed
}

/** Who has not been asked for `idleMs`; the longest first. */
export function idleFor(residents: readonly Resident[], nowMs: number, idleMs: number): string[] {
  return residents
    .filter(({ isHeld, lastUsedMs }) => !isHeld && nowMs - lastUsedMs >= idleMs)
    .toSorted((a, b) => a.lastUsedMs - b.lastUsedMs)
    .map(({ key }) => key)
}

/** The first goes first. */
function byWorth(a: Resident, b: Resident): number {
  return Number(b.isSpare) - Number(a.isSpare) || a.lastUsedMs - b.lastUsedMs
}

const sumOf = (residents: readonly Resident[]): number =>
  residents.reduce((sum, { bytes }) => sum + bytes, 0)

const inMib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`
