/**
 * What telemetry consumers get, as JSON: one aggregate per minute for each release and profile, an
 * alert for each decision and notice, and whether the controller is there. Made from what is merged
 * already; nothing is decided from it.
 */
import { armCounts } from '../shared/judge/arm-counts.ts'
import type { DeviceNotice } from '../shared/model/device.ts'
import {
  type Aggregate,
  type Alert,
  aggregateSchema,
  alertSchema,
} from '../shared/protocol/consumer-messages.ts'
import { formatTopic } from '../shared/protocol/topics.ts'
import type { Decision } from '../shared/rollout/reconcile.ts'
import type { Rollout } from '../shared/rollout/state.ts'
import { latencyQuantileMs } from '../shared/sketch/latency-histogram.ts'
import { mergeWindows, type Window } from '../shared/sketch/window.ts'
import type { OutgoingMessage } from './broker/broker.ts'
import type { StoredWindow } from './db/store.ts'

/** Severities as consumers filter by them. */
const SEVERITY_OF_ACTION: Readonly<Record<string, Alert['severity']>> = {
  rollback: 'critical',
  rolled_back: 'warning',
  pause: 'warning',
  abort: 'warning',
  promote: 'info',
}

const SEVERITY_OF_NOTICE: Readonly<Record<DeviceNotice['kind'], Alert['severity']>> = {
  assignment_refused: 'critical',
  release_failed: 'warning',
  rolled_back: 'warning',
  host_restarted: 'info',
  hosts_scaled: 'info',
  proved_again: 'info',
  disk_failed: 'critical',
  changed_locally: 'warning',
  spool_overflow: 'warning',
  drift_alarm: 'warning',
  attack: 'critical',
  release_revoked: 'warning',
  frozen: 'warning',
}

export interface Consumers {
  decided(rollout: Rollout, decision: Decision): OutgoingMessage | undefined
  noticed(device: string, notice: DeviceNotice): OutgoingMessage
  /** One message per release and profile. */
  aggregates(minute: number, cells: readonly StoredWindow[]): OutgoingMessage[]
}

const MINUTE_MS = 60_000

export function createConsumers(fleet: string): Consumers {
  const alert = (said: Omit<Alert, 'schema' | 'fleet'>): OutgoingMessage => ({
    topic: formatTopic('c/alert', { fleet, severity: said.severity }),
    payload: JSON.stringify(alertSchema.parse({ schema: 'linnet.alert.v1', fleet, ...said })),
    qos: 1,
    retain: false,
  })

  return {
    decided({ id }, { record: { action, atMs, reason } }) {
      const severity = SEVERITY_OF_ACTION[action]
      if (severity === undefined) return undefined
      const sentence = reason.sentence.slice(0, 1_024)
      return alert({ severity, atMs, subject: `rollout/${id}`, code: reason.code, sentence })
    },
    noticed(device, { kind, atMs, subject, problem }) {
      const sentence = `${subject}: ${problem.message}`.slice(0, 1_024)
      const severity = SEVERITY_OF_NOTICE[kind]
      return alert({ severity, atMs, subject: `device/${device}`, code: problem.code, sentence })
    },
    aggregates(minute, cells) {
      const groups = new Map<string, StoredWindow[]>()
      for (const cell of cells) {
        const key = [cell.model, cell.version, cell.profile, cell.shape].join('/')
        groups.set(key, [...(groups.get(key) ?? []), cell])
      }
      return [...groups.values()].flatMap((group) => {
        const sum = aggregateOf(fleet, minute, group)
        if (sum === undefined) return []
        const { model, version: release, profile } = sum
        const topic = formatTopic('c/aggregate', { fleet, model, release, profile })
        const payload = JSON.stringify(aggregateSchema.parse(sum))
        return [{ topic, payload, qos: 1 as const, retain: true }]
      })
    },
  }
}

/** Cells of one release, profile and shape: their windows can be added. */
function aggregateOf(
  fleet: string,
  minute: number,
  cells: readonly StoredWindow[],
): Aggregate | undefined {
  const [first] = cells
  if (first === undefined) return undefined
  const total = cells.slice(1).reduce<Window>((sum, cell) => {
    const merged = mergeWindows(sum, cell.window)
    return merged.ok ? merged.value : sum
  }, first.window)
  const quantile = (q: number): number | null => latencyQuantileMs(total.latency.total, q) ?? null
  const { model, version, profile } = first
  return {
    schema: 'linnet.aggregate.v1',
    fleet,
    model,
    version,
    profile,
    atMs: minute * MINUTE_MS,
    windows: cells.reduce((sum, cell) => sum + cell.messages, 0),
    ...armCounts(total),
    latencyMsP50: quantile(0.5),
    latencyMsP95: quantile(0.95),
    latencyMsP99: quantile(0.99),
  }
}
