/** What Prometheus is told of a model host beside its requests: models in memory, machine, process. */
import { cpus, freemem, totalmem } from 'node:os'
import type { Metric } from '../../serve/metrics.ts'
import type { ResidenceRow, Residency } from './residency.ts'

/** @returns called at each scrape. */
export function createHostMetrics(
  residency: Pick<Residency, 'rows' | 'bytesMax'>,
): () => readonly Metric[] {
  const utilisation = createUtilisation()
  return () => [
    ...modelMetrics(residency.rows()),
    ...machineMetrics(utilisation(), residency.bytesMax()),
  ]
}

function modelMetrics(rows: readonly ResidenceRow[]): Metric[] {
  const each = (value: (row: ResidenceRow) => number): Metric['rows'] =>
    rows.map((row) => ({
      labels: { model: row.model, version: row.version },
      value: value(row),
    }))
  const released = rows.flatMap(({ model, version, releases }) =>
    (['room', 'idle'] as const).map((reason) => ({
      labels: { model, version, reason },
      value: releases[reason],
    })),
  )
  return [
    {
      ...{ name: 'linnet_model_loaded', kind: 'gauge', help: 'Model hosts that have it in memory' },
      rows: each(({ isAwake }) => Number(isAwake)),
    },
    {
      ...{ name: 'linnet_model_memory_bytes', kind: 'gauge' },
      help: 'Memory that the model takes, measured at its loads; 0 while it is not in memory',
      rows: each(({ isAwake, bytes }) => (isAwake ? bytes : 0)),
    },
    {
      ...{ name: 'linnet_model_loads', kind: 'counter', help: 'Loads into memory' },
      rows: each(({ loads }) => loads),
    },
    {
      ...{ name: 'linnet_model_releases', kind: 'counter' },
      help: 'Times that the model left the memory, for the room of another or for being idle',
      rows: released,
    },
  ]
}

function machineMetrics(utilisation: number, sessionBytesMax: number): Metric[] {
  const gauge = (name: string, help: string, value: number): Metric => ({
    ...{ name, help, kind: 'gauge' },
    rows: [{ labels: {}, value }],
  })
  return [
    gauge('linnet_memory_budget_bytes', 'Memory that all models may take', sessionBytesMax),
    gauge('linnet_host_resident_bytes', 'Memory of the model host', process.memoryUsage.rss()),
    gauge(
      'nv_cpu_utilization',
      'Share of the processors in use since the last scrape',
      utilisation,
    ),
    gauge('nv_cpu_memory_total_bytes', 'Memory of the machine', totalmem()),
    gauge('nv_cpu_memory_used_bytes', 'Memory of the machine in use', totalmem() - freemem()),
  ]
}

/** Of the whole machine, from 0 to 1, between two calls. */
function createUtilisation(): () => number {
  let before = cpuTimes()
  let latest = 0
  return () => {
    const now = cpuTimes()
    const totalMs = now.totalMs - before.totalMs
    // Two scrapes within one tick of the system's clock: the former value stands.
    if (totalMs > 0) latest = 1 - (now.idleMs - before.idleMs) / totalMs
    before = now
    return Math.max(0, Math.min(1, latest))
  }
}

function cpuTimes(): { readonly totalMs: number; readonly idleMs: number } {
  let totalMs = 0
  let idleMs = 0
  for (const { times } of cpus()) {
    totalMs += times.user + times.nice + times.sys + times.irq + times.idle
    idleMs += times.idle
  }
  return { totalMs, idleMs }
}
