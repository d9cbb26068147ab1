/**
 * What all hosts counted together, since the front started: their metrics and their statistics.
 *
 * Invariants: of one host both are taken down or neither, so the two never tell of different times; a
 * host is asked one thing at a time, so no older word of it follows a newer one; one that does not
 * answer in time does not hold up the others, and what it counted before stays in the sums. A host
 * that is killed takes along what it counted since it was last asked.
 */
import type { Agent } from 'node:http'
import { askHost, type Question } from './ask-host.ts'
import type { FrontHost } from './front-protocol.ts'
import type { HostTable } from './host-table.ts'
import { addMetrics, countersOf, type Metrics, NO_METRICS, parseMetrics } from './merge-metrics.ts'
import { addStatistics, parseStatistics, type StatisticsRow } from './merge-statistics.ts'
import { createRunningTotal } from './running-total.ts'

export interface HostTotals {
  /** Asks every host anew; what was answered before the call is in the sums after it. */
  refresh(): Promise<void>
  /** The same, for a timer: asks nobody while nothing was sent to a host since the last round. */
  refreshIfUsed(): Promise<void>
  metrics(): Metrics
  statistics(): readonly StatisticsRow[]
}

const METRICS: Question = { method: 'GET', path: '/metrics' }
const STATISTICS: Question = { method: 'GET', path: '/v2/models/stats' }

/** A question to one host that goes on, and the one after it. */
interface Turn {
  readonly now: Promise<boolean>
  next?: Promise<boolean>
}

interface TotalsOptions {
  readonly table: Pick<HostTable, 'hosts' | 'counts'>
  readonly agent: Agent
}

export function createHostTotals({ table, agent }: TotalsOptions): HostTotals {
  const metrics = createRunningTotal<Metrics>({
    ...{ zero: NO_METRICS, add: addMetrics, lasting: countersOf },
  })
  const statistics = createRunningTotal<readonly StatisticsRow[]>({
    ...{ zero: [], add: addStatistics, lasting: (rows) => rows },
  })
  const turns = new Map<string, Turn>()
  /** What had been sent when all were asked and nothing was left to count. */
  let settled: string | undefined

  const live = (): ReadonlySet<string> => new Set(table.hosts().map(({ id }) => id))

  /** @returns whether it answered. */
  async function take({ id, life, socketPath }: FrontHost): Promise<boolean> {
    const [told, counted] = await Promise.all(
      [METRICS, STATISTICS].map(async (question) => {
        const answer = await askHost(agent, socketPath, question)
        return answer?.status === 200 ? answer.body.toString('utf8') : undefined
      }),
    )
    if (told === undefined || counted === undefined) return false
    metrics.see(id, life, parseMetrics(told))
    statistics.see(id, life, parseStatistics(counted))
    return true
  }

  /** Once in a time; who comes meanwhile shares the next one, which sees what was answered since. */
  function ask(host: FrontHost): Promise<boolean> {
    const name = `${host.id}/${host.life}`
    const turn = turns.get(name)
    if (turn === undefined) {
      const now = take(host).finally(() => void turns.delete(name))
      turns.set(name, { now })
      return now
    }
    // One that was silent until now would be to a second question as well.
    turn.next ??= turn.now.then((answered) => answered && ask(host))
    return turn.next
  }

  async function refresh(): Promise<void> {
    const counts = table.counts()
    const asked = table.hosts().filter(({ takes, ends }) => takes || ends)
    const answered = await Promise.all(asked.map(ask))
    const isAll = answered.every(Boolean) && counts.every(({ outstanding }) => outstanding === 0)
    settled = isAll ? JSON.stringify(counts) : undefined
  }

  return {
    refresh,
    refreshIfUsed: async () => {
      if (JSON.stringify(table.counts()) !== settled) await refresh()
    },
    metrics: () => metrics.total(live()),
    statistics: () => statistics.total(live()),
  }
}
