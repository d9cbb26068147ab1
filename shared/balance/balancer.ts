/**
 * Which of several model hosts takes the next request. Pure: the caller brings clock and draw, and
 * tells how each request ended.
 *
 * | policy | rule | source |
 * |---|---|---|
 * | round-robin | smooth weighted round robin, all weights 1 | as below |
 * | weighted | smooth weighted round robin: over any W picks each host gets exactly its weight of W | nginx, `ngx_http_upstream_round_robin.c` |
 * | least-connections | fewest unanswered requests for its weight, ties by draw | nginx, `least_conn` |
 * | latency-aware | of two drawn hosts the one with the lower peak EWMA times (unanswered + 1) | Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001; Finagle, `Balancers.p2cPeakEwma` |
 *
 * A session (`key`) goes to the host with the highest rendezvous hash (Thaler and Ravishankar 1998),
 * so that only the sessions of a host that leaves have to move.
 *
 * Invariants: a host that does not take requests is picked for the sessions that it has alone; one that refused a connection or
 * stands still is picked only if no other is left, or to try it again; whatever was picked is ended
 * once, by `answered`, `refused` or `left`, and an end from an earlier life of a host counts nothing.
 */
import { unitHash } from '../kernel/stable-hash.ts'

export const BALANCE_POLICIES = [
  'round-robin',
  'weighted',
  'least-connections',
  'latency-aware',
] as const
export type BalancePolicy = (typeof BALANCE_POLICIES)[number]

/** What is known of a host from outside. */
export interface Backend {
  readonly id: string
  /** Grows when the host is started again: what was measured of the former life is void. */
  readonly life: number
  /** Above 0; only its ratio to the others' counts. */
  readonly weight: number
  /** It listens, serves a plan and does not end. */
  readonly takes: boolean
}

interface BackendState extends Backend {
  /** Requests that were sent and not answered. */
  readonly outstanding: number
  /** What smooth weighted round robin owes it. */
  readonly credit: number
  /** Peak EWMA of its answer time at `costAtMs`; 0 before the first answer. */
  readonly costMs: number
  readonly costAtMs: number
  /** Since when it owes an answer and gave none. */
  readonly silentSinceMs: number | null
  /** Connections refused in a row. */
  readonly refusals: number
  readonly refusedUntilMs: number
}

export interface BalanceState {
  readonly policy: BalancePolicy
  readonly backends: readonly BackendState[]
}

/** Names one picked request, for its end. */
export interface Ticket {
  readonly id: string
  readonly life: number
  readonly sentAtMs: number
}

export interface Pick {
  readonly state: BalanceState
  readonly ticket: Ticket
}

export interface PickOptions {
  /** The session that the request belongs to. */
  readonly key?: string | undefined
  /** The host that this session is on: kept as long as it is there, also if it takes nothing new. */
  readonly home?: string | undefined
  /** Hosts that were tried for this request. */
  readonly except?: ReadonlySet<string> | undefined
}

/** Time in which a slow answer is forgotten to 1/e. */
const COST_MEMORY_MS = 5_000
/** A host that owes an answer for longer, and for longer than eight usual ones, stands still. */
const STILL_MS = 250
const STILL_ANSWERS = 8
const REFUSED_MS_FIRST = 100
const REFUSED_MS_MAX = 5_000
/** A host of which nothing is known yet and that has work is tried last. */
const UNKNOWN_COST_MS = 1e6

export function startBalance(policy: BalancePolicy): BalanceState {
  return { policy, backends: [] }
}

/** Puts these hosts in place of the former; those in the same life keep what is known of them. */
export function setBackends(state: BalanceState, backends: readonly Backend[]): BalanceState {
  const next = backends.map((backend): BackendState => {
    const known = state.backends.find(({ id, life }) => id === backend.id && life === backend.life)
    if (known === undefined) return { ...FRESH, ...backend }
    const merged = { ...known, ...backend }
    // Word that it takes requests again is newer than a refused connection.
    return backend.takes && !known.takes ? { ...merged, refusals: 0, refusedUntilMs: 0 } : merged
  })
  return { ...state, backends: next }
}

const FRESH = {
  outstanding: 0,
  credit: 0,
  costMs: 0,
  costAtMs: 0,
  silentSinceMs: null,
  refusals: 0,
  refusedUntilMs: 0,
}

/**
 * @param draw gives an integer in [0, bound).
 * @returns undefined when no host takes requests, or all were tried.
 */
export function pick(
  state: BalanceState,
  nowMs: number,
  draw: (bound: number) => number,
  { key, home: known, except }: PickOptions = {},
): Pick | undefined {
  const kept = state.backends.find(({ id }) => id === known && !except?.has(id))
  if (kept !== undefined) {
    return { state: send(state, kept, nowMs), ticket: ticketOf(kept, nowMs) }
  }
  const taking = state.backends.filter(({ id, takes }) => takes && !except?.has(id))
  // A session may have state on its host: it waits there, and leaves only a host that is gone.
  if (key !== undefined) {
    const home = homeOf(taking, key)
    return home && { state: send(state, home, nowMs), ticket: ticketOf(home, nowMs) }
  }
  const healthy = taking.filter((backend) => isHealthy(backend, nowMs))
  const eligible = healthy.length > 0 ? healthy : taking
  const { chosen, credits } = choose(state.policy, eligible, nowMs, draw)
  if (chosen === undefined) return undefined
  const credited = credits === undefined ? state : withCredits(state, credits)
  return { state: send(credited, chosen, nowMs), ticket: ticketOf(chosen, nowMs) }
}

/** The host gave an answer, whatever it says. */
export function answered(state: BalanceState, ticket: Ticket, nowMs: number): BalanceState {
  return change(state, ticket, (backend) => {
    const latencyMs = Math.max(0, nowMs - ticket.sentAtMs)
    const memory = decay(backend, nowMs)
    const mean = backend.costMs * memory + latencyMs * (1 - memory)
    const outstanding = backend.outstanding - 1
    return {
      ...backend,
      outstanding,
      // A peak counts at once, what is faster only over time.
      costMs: Math.max(latencyMs, mean),
      costAtMs: nowMs,
      silentSinceMs: outstanding > 0 ? nowMs : null,
      refusals: 0,
      refusedUntilMs: 0,
    }
  })
}

/** The host refused the connection, or broke it off: it is avoided for a while that doubles. */
export function refused(state: BalanceState, ticket: Ticket, nowMs: number): BalanceState {
  return change(state, ticket, (backend) => avoided(ended(backend), nowMs))
}

/** The client left before there was an answer; a host that kept him waiting is avoided. */
export function left(state: BalanceState, ticket: Ticket, nowMs: number): BalanceState {
  return change(state, ticket, (backend) => {
    const rest = ended(backend)
    return isStill(backend, nowMs) && rest.outstanding === 0 ? avoided(rest, nowMs) : rest
  })
}

function choose(
  policy: BalancePolicy,
  eligible: readonly BackendState[],
  nowMs: number,
  draw: (bound: number) => number,
): { chosen: BackendState | undefined; credits?: ReadonlyMap<string, number> } {
  switch (policy) {
    case 'round-robin':
      return roundRobin(eligible, () => 1)
    case 'weighted':
      return roundRobin(eligible, ({ weight }) => weight)
    case 'least-connections':
      return { chosen: leastConnections(eligible, draw) }
    case 'latency-aware':
      return { chosen: betterOfTwo(eligible, nowMs, draw) }
  }
}

/** Everyone is credited its weight; the richest is picked and pays what all were credited. */
function roundRobin(
  eligible: readonly BackendState[],
  weightOf: (backend: BackendState) => number,
): { chosen: BackendState | undefined; credits: ReadonlyMap<string, number> } {
  let chosen: BackendState | undefined
  let total = 0
  const credits = new Map<string, number>()
  for (const backend of eligible) {
    const weight = weightOf(backend)
    total += weight
    const credit = backend.credit + weight
    credits.set(backend.id, credit)
    if (chosen === undefined || credit > credits.get(chosen.id)!) chosen = backend
  }
  if (chosen !== undefined) credits.set(chosen.id, credits.get(chosen.id)! - total)
  return { chosen, credits }
}

function leastConnections(
  eligible: readonly BackendState[],
  draw: (bound: number) => number,
): BackendState | undefined {
  const loads = eligible.map(({ outstanding, weight }) => (outstanding + 1) / weight)
  const least = Math.min(...loads)
  const ties = eligible.filter((_, i) => loads[i] === least)
  return ties[ties.length > 1 ? draw(ties.length) : 0]
}

function betterOfTwo(
  eligible: readonly BackendState[],
  nowMs: number,
  draw: (bound: number) => number,
): BackendState | undefined {
  if (eligible.length < 2) return eligible[0]
  const first = draw(eligible.length)
  const second = (first + 1 + draw(eligible.length - 1)) % eligible.length
  const [a, b] = [eligible[first]!, eligible[second]!]
  return costOf(b, nowMs) < costOf(a, nowMs) ? b : a
}

function costOf(backend: BackendState, nowMs: number): number {
  const { costMs, outstanding, weight } = backend
  if (costMs === 0) return outstanding === 0 ? 0 : UNKNOWN_COST_MS + outstanding
  return (costMs * decay(backend, nowMs) * (outstanding + 1)) / weight
}

function decay({ costAtMs }: BackendState, nowMs: number): number {
  return Math.exp(-Math.max(0, nowMs - costAtMs) / COST_MEMORY_MS)
}

function homeOf(taking: readonly BackendState[], key: string): BackendState | undefined {
  let home: BackendState | undefined
  let best = -Infinity
  for (const backend of taking) {
    // Weighted rendezvous: the least -ln(u)/w wins with a chance in proportion to w.
    const score = Math.log(unitHash('home', backend.id, key) + Number.MIN_VALUE) / backend.weight
    if (score <= best) continue
    best = score
    home = backend
  }
  return home
}

function isHealthy(backend: BackendState, nowMs: number): boolean {
  return backend.refusedUntilMs <= nowMs && !isStill(backend, nowMs)
}

function isStill({ silentSinceMs, costMs }: BackendState, nowMs: number): boolean {
  const patienceMs = Math.max(STILL_MS, STILL_ANSWERS * costMs)
  return silentSinceMs !== null && nowMs - silentSinceMs > patienceMs
}

function send(state: BalanceState, { id }: BackendState, nowMs: number): BalanceState {
  const backends = state.backends.map((backend) =>
    backend.id === id
      ? {
          ...backend,
          outstanding: backend.outstanding + 1,
          silentSinceMs: backend.silentSinceMs ?? nowMs,
        }
      : backend,
  )
  return { ...state, backends }
}

function withCredits(state: BalanceState, credits: ReadonlyMap<string, number>): BalanceState {
  const backends = state.backends.map((backend) => {
    const credit = credits.get(backend.id)
    return credit === undefined ? backend : { ...backend, credit }
  })
  return { ...state, backends }
}

function ticketOf({ id, life }: BackendState, nowMs: number): Ticket {
  return { id, life, sentAtMs: nowMs }
}

function change(
  state: BalanceState,
  { id, life }: Ticket,
  to: (backend: BackendState) => BackendState,
): BalanceState {
  const backends = state.backends.map((backend) =>
    backend.id === id && backend.life === life ? to(backend) : backend,
  )
  return { ...state, backends }
}

function ended(backend: BackendState): BackendState {
  const outstanding = backend.outstanding - 1
  return { ...backend, outstanding, silentSinceMs: outstanding > 0 ? backend.silentSinceMs : null }
}

function avoided(backend: BackendState, nowMs: number): BackendState {
  const waitMs = Math.min(REFUSED_MS_MAX, REFUSED_MS_FIRST * 2 ** Math.min(10, backend.refusals))
  return { ...backend, refusals: backend.refusals + 1, refusedUntilMs: nowMs + waitMs }
}
