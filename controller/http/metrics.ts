/** The controller's counters in the Prometheus text format, version 0.0.4. */
import type { HealthResource } from '../../shared/api/resources.ts'

interface Family {
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  readonly samples: readonly (readonly [labels: Record<string, string>, value: number])[]
}

export function metricsText(health: HealthResource, eventClients: number): string {
  const refused = (counts: Record<string, number>) =>
    Object.entries(counts).map(([code, count]) => [{ code }, count] as const)
  const families: Family[] = [
    {
      name: 'linnet_devices',
      type: 'gauge',
      help: 'Devices by state.',
      samples: [
        [{ state: 'enrolled' }, health.devices.enrolled],
        [{ state: 'online' }, health.devices.online],
      ],
    },
    {
      name: 'linnet_messages_total',
      type: 'counter',
      help: 'Messages from devices by outcome.',
      samples: [
        [{ outcome: 'received' }, health.messages.received],
        [{ outcome: 'merged' }, health.messages.merged],
        [{ outcome: 'duplicate' }, health.messages.duplicates],
      ],
    },
    {
      name: 'linnet_messages_refused_total',
      type: 'counter',
      help: 'Messages from devices that were refused, by code.',
      samples: refused(health.messages.refused),
    },
    {
      name: 'linnet_broker_clients',
      type: 'gauge',
      help: 'Connected MQTT clients.',
      samples: [[{}, health.broker.clients]],
    },
    {
      name: 'linnet_broker_refused_total',
      type: 'counter',
      help: 'What the broker refused, by code.',
      samples: refused(health.broker.refused),
    },
    {
      name: 'linnet_event_clients',
      type: 'gauge',
      help: 'Listeners of server-sent events.',
      samples: [[{}, eventClients]],
    },
    {
      name: 'linnet_start_time_seconds',
      type: 'gauge',
      help: 'When the controller started, in seconds since 1970.',
      samples: [[{}, health.startedAtMs / 1000]],
    },
  ]
  return `${families.flatMap(familyLines).join('\n')}\n`
}

function familyLines({ name, type, help, samples }: Family): string[] {
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`)
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`
  })
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines]
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
