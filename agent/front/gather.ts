/**
 * What the local API answers over all hosts together: readiness, statistics, metrics, the repository
 * index, and labels, which find the host that made the prediction.
 * Invariant: a host that does not answer in time does not hold up the others.
 */
import type { Agent } from 'node:http'
import { z } from 'zod'
import { refuse } from '../../shared/kernel/result.ts'
import { isSameVersion } from '../../shared/model/names.ts'
import { METRICS_TYPE } from '../serve/metrics.ts'
import { refusalAnswer, type WireAnswer } from '../serve/refusal.ts'
import { askHost, type HostAnswer, type Question } from './ask-host.ts'
import type { FrontHost } from './front-protocol.ts'
import type { HostTable } from './host-table.ts'
import type { HostTotals } from './host-totals.ts'
import { metricsText } from './merge-metrics.ts'

export interface Gather {
  /** @returns undefined for what one host alone can answer. */
  answer(question: Question): Promise<WireAnswer> | undefined
}

export interface GatherOptions {
  readonly table: HostTable
  readonly agent: Agent
  readonly totals: HostTotals
  readonly scaled: () => { readonly up: number; readonly down: number }
}

type Answered = readonly { readonly host: FrontHost; readonly answer: HostAnswer }[]

const MODEL_READY = /^\/v2\/models\/[^/]+(\/versions\/[^/]+)?\/ready$/
const MODEL_STATS = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?\/stats$/
const INDEX = /^\/v2\/repository(\/[^/]+)?\/index$/
const FEEDBACK = /^\/v2\/models\/[^/]+\/feedback$/

export function createGather(options: GatherOptions): Gather {
  const { table, agent, totals } = options

  async function askAll(question: Question): Promise<Answered> {
    const hosts = table.hosts().filter(({ takes, ends }) => takes || ends)
    const answers = await Promise.all(
      hosts.map(async (host) => ({
        host,
        answer: await askHost(agent, host.socketPath, question),
      })),
    )
    return answers.flatMap(({ host, answer }) => (answer === undefined ? [] : [{ host, answer }]))
  }

  async function allMetrics(): Promise<WireAnswer> {
    await totals.refresh()
    const text = metricsText(totals.metrics()) + frontMetrics(options)
    return { status: 200, headers: { 'content-type': METRICS_TYPE }, body: text }
  }

  async function allStatistics(model?: string, version?: string): Promise<WireAnswer> {
    await totals.refresh()
    const rows = totals
      .statistics()
      .filter((row) => model === undefined || row.name === model)
      .filter((row) => version === undefined || isSameVersion(version, row.version))
    if (model === undefined || rows.length > 0) return json({ model_stats: rows })
    // A model that served nobody yet has statistics as well; one that there is not has none.
    const path = version === undefined ? model : `${model}/versions/${version}`
    return first(await askAll({ method: 'GET', path: `/v2/models/${path}/stats` }))
  }

  return {
    answer(question) {
      const { method, path } = question
      if (method === 'GET') {
        if (path === '/v2/health/live') return Promise.resolve(json({ live: true }))
        if (path === '/v2/health/ready' || MODEL_READY.test(path)) {
          return askAll(question).then(readiness)
        }
        if (path === '/metrics') return allMetrics()
        if (path === '/v2/models/stats') return allStatistics()
        const asked = MODEL_STATS.exec(path)
        return asked === null ? undefined : allStatistics(asked[1], asked[2])
      }
      if (method !== 'POST') return undefined
      if (INDEX.test(path)) return askAll(question).then(mergeIndex)
      return FEEDBACK.test(path) ? passLabel(options, question) : undefined
    },
  }
}

/** One after the other: a label is counted once, by the host that knows its request. */
async function passLabel({ table, agent }: GatherOptions, question: Question): Promise<WireAnswer> {
  let last: WireAnswer | undefined
  for (const { socketPath, takes, ends } of table.hosts()) {
    if (!takes && !ends) continue
    const answer = await askHost(agent, socketPath, question)
    if (answer === undefined) continue
    last = wire(answer)
    if (answer.headers['linnet-code'] !== 'feedback.unknown_id') return last
  }
  return last ?? noHost()
}

/** A request will be answered if one host is ready: the balance goes around the others. */
function readiness(answers: Answered): WireAnswer {
  const isReady = answers.some(({ answer }) => answer.status === 200)
  return json({ ready: isReady }, isReady ? 200 : 503)
}

const entrySchema = z.looseObject({
  name: z.string(),
  version: z.string().optional(),
  state: z.string().optional(),
})

/** Each model and version once, READY where one host has it so. */
function mergeIndex(answers: Answered): WireAnswer {
  const rows = new Map<string, z.infer<typeof entrySchema>>()
  for (const { answer } of answers) {
    const parsed = z.array(entrySchema).safeParse(parseJson(answer.body))
    if (!parsed.success) return wire(answer)
    for (const entry of parsed.data) {
      const key = `${entry.name}@${entry.version ?? ''}`
      if (!rows.has(key) || entry.state === 'READY') rows.set(key, entry)
    }
  }
  return answers.length === 0 ? noHost() : json([...rows.values()])
}

/** About the hosts themselves; the same names whatever the models are. */
function frontMetrics({ table, scaled }: GatherOptions): string {
  const counts = table.counts()
  const taking = table.hosts().filter(({ takes }) => takes).length
  const { up, down } = scaled()
  const each = (name: string, value: (row: (typeof counts)[number]) => number): string[] =>
    counts.map((row) => `${name}{host="${row.id}"} ${value(row)}`)
  return `${[
    '# HELP linnet_hosts Model hosts that take requests',
    '# TYPE linnet_hosts gauge',
    `linnet_hosts ${taking}`,
    '# HELP linnet_host_outstanding Requests that a model host has to answer',
    '# TYPE linnet_host_outstanding gauge',
    ...each('linnet_host_outstanding', ({ outstanding }) => outstanding),
    '# HELP linnet_host_requests Requests that were sent to a model host',
    '# TYPE linnet_host_requests counter',
    ...each('linnet_host_requests', ({ sent }) => sent),
    '# HELP linnet_hosts_scaled Changes of the number of model hosts',
    '# TYPE linnet_hosts_scaled counter',
    `linnet_hosts_scaled{direction="up"} ${up}`,
    `linnet_hosts_scaled{direction="down"} ${down}`,
  ].join('\n')}\n`
}

function first(answers: Answered): WireAnswer {
  const [one] = answers
  return one === undefined ? noHost() : wire(one.answer)
}

function wire({ status, headers, body }: HostAnswer): WireAnswer {
  const kept = ['content-type', 'linnet-code', 'retry-after'].flatMap((name) => {
    const value = headers[name]
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  return { status, headers: Object.fromEntries(kept), body: new Uint8Array(body) }
}

function json(document: unknown, status = 200): WireAnswer {
  const headers = { 'content-type': 'application/json' }
  return { status, headers, body: JSON.stringify(document) }
}

function noHost(): WireAnswer {
  return refusalAnswer(
    refuse('infer.not_ready', 'No model host is ready.', { next: 'try again in 1 s' }).error,
  )
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}
