/**
 * The hosts as the front knows them now: the balance over them, their addresses, and how busy they
 * were. Holds the one state that shared/balance decides over.
 */
import {
  answered,
  type BalancePolicy,
  type BalanceState,
  left,
  type PickOptions,
  pick,
  refused,
  setBackends,
  startBalance,
  type Ticket,
} from '../../shared/balance/balancer.ts'
import type { FrontHost } from './front-protocol.ts'
import { createSessionHomes } from './session-homes.ts'
import type { Session } from './session-of.ts'

export interface Passage {
  readonly ticket: Ticket
  readonly socketPath: string
}

export interface HostTable {
  set(hosts: readonly FrontHost[]): void
  hosts(): readonly FrontHost[]
  /** @returns undefined when no host takes requests, or all were tried. */
  pick(options?: {
    readonly session?: Session | undefined
    readonly except?: PickOptions['except']
  }): Passage | undefined
  /** How it ended; each passage ends once. */
  answered(passage: Passage): void
  refused(passage: Passage): void
  left(passage: Passage): void
  /** Its answer began and is not all here: a host that ends stays. @returns what ends that, once. */
  passing(passage: Passage): () => void
  /** Requests that each host has to answer, and was sent since the front started. */
  counts(): readonly HostCounts[]
  /** Work since the last call. */
  load(): { readonly utilisation: number; readonly queued: number }
}

export interface HostCounts {
  readonly id: string
  readonly outstanding: number
  readonly sent: number
}

export interface HostTableOptions {
  readonly policy: BalancePolicy
  readonly draw: (bound: number) => number
  readonly nowMs: () => number
  /** A host that ends has nothing left to answer. */
  readonly onDrained: (host: FrontHost) => void
}

export function createHostTable({ policy, draw, nowMs, onDrained }: HostTableOptions): HostTable {
  let hosts: readonly FrontHost[] = []
  let state: BalanceState = startBalance(policy)
  /** Also of hosts that left, for their numbers are given again; so there are few. */
  const sent = new Map<string, number>()
  const busyMs = new Map<string, number>()
  const answers = createOpenAnswers()
  const homes = createSessionHomes()
  let seenAtMs = nowMs()
  let sampledAtMs = seenAtMs

  const owes = (id: string): number => state.backends.find((b) => b.id === id)?.outstanding ?? 0

  /** Adds the time since the last change to those that had something to answer. */
  function accrue(): void {
    const atMs = nowMs()
    for (const { id, outstanding } of state.backends) {
      if (outstanding > 0) busyMs.set(id, (busyMs.get(id) ?? 0) + atMs - seenAtMs)
    }
    seenAtMs = atMs
  }

  function change(next: BalanceState): void {
    accrue()
    state = next
    tellDrained()
  }

  /** A host that ends keeps its streams until they end or nobody goes on with them. */
  function tellDrained(): void {
    for (const host of hosts) {
      if (!host.ends || owes(host.id) > 0 || answers.isAny(host)) continue
      if (homes.hasStreams(host.id, nowMs())) continue
      onDrained(host)
    }
  }

  return {
    set(next) {
      hosts = next
      change(setBackends(state, next))
    },
    hosts: () => hosts,
    pick({ session, except } = {}) {
      const key = session?.key
      const known = key === undefined ? undefined : homes.of(key)
      const isThere = hosts.some(({ id, takes, ends }) => id === known && (takes || ends))
      const home = isThere ? known : undefined
      const picked = pick(state, nowMs(), draw, { key, home, except })
      if (picked === undefined) return undefined
      const { ticket } = picked
      if (session !== undefined) homes.remember(session, ticket.id, nowMs())
      change(picked.state)
      sent.set(ticket.id, (sent.get(ticket.id) ?? 0) + 1)
      return { ticket, socketPath: hosts.find(({ id }) => id === ticket.id)!.socketPath }
    },
    answered: ({ ticket }) => change(answered(state, ticket, nowMs())),
    refused: ({ ticket }) => change(refused(state, ticket, nowMs())),
    left: ({ ticket }) => change(left(state, ticket, nowMs())),
    passing: ({ ticket }) => answers.open(ticket, tellDrained),
    counts: () =>
      state.backends.map(({ id, outstanding }) => ({ id, outstanding, sent: sent.get(id) ?? 0 })),
    load() {
      accrue()
      tellDrained()
      const elapsedMs = Math.max(1, seenAtMs - sampledAtMs)
      const taking = state.backends.filter(({ takes }) => takes)
      const busy = taking.reduce((sum, { id }) => sum + (busyMs.get(id) ?? 0), 0)
      const queued = taking.reduce((sum, b) => sum + Math.max(0, b.outstanding - 1), 0)
      busyMs.clear()
      sampledAtMs = seenAtMs
      return { utilisation: Math.min(1, busy / elapsedMs / Math.max(1, taking.length)), queued }
    },
  }
}

type Life = Pick<FrontHost, 'id' | 'life'>

/** Answers that began and go on, of each life of a host. */
function createOpenAnswers() {
  const counts = new Map<string, number>()
  const nameOf = ({ id, life }: Life): string => `${id}/${life}`
  return {
    isAny: (host: Life): boolean => counts.has(nameOf(host)),
    open(host: Life, onEnd: () => void): () => void {
      const name = nameOf(host)
      counts.set(name, (counts.get(name) ?? 0) + 1)
      return () => {
        const rest = (counts.get(name) ?? 1) - 1
        if (rest > 0) counts.set(name, rest)
        else counts.delete(name)
        onEnd()
      }
    },
  }
}
