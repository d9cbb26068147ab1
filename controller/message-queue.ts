/**
 * Messages from devices that wait for their turn. The queue holds 20,000 messages, 512 of one device;
 * one more is refused, and the device sends it again, since only `dn/ack` makes it forget.
 */
import type { Problem } from '../shared/kernel/result.ts'
import { parseTopic } from '../shared/protocol/topics.ts'
import type { BrokerMessage } from './broker/broker.ts'

const QUEUE_MAX = 20_000
const QUEUE_PER_DEVICE_MAX = 512

const KINDS = {
  'up/state': 'presence',
  'up/report': 'report',
  'up/telemetry': 'telemetry',
  'up/event': 'notice',
} as const
export type UpKind = (typeof KINDS)[keyof typeof KINDS]

/** What was published on a device's topic; nobody has looked at the payload yet. */
export interface Queued {
  readonly kind: UpKind
  readonly device: string
  readonly topic: string
  readonly payload: Uint8Array
}

export interface MessageQueue {
  /** Problems: `ingest.topic`, `ingest.fleet`, `ingest.queue_full`. */
  push(message: BrokerMessage): Problem | undefined
  /** The oldest, up to `countMax`. */
  take(countMax: number): Queued[]
  size(): number
}

export function createMessageQueue(fleet: string): MessageQueue {
  const queue: Queued[] = []
  const perDevice = new Map<string, number>()

  return {
    push({ topic, payload }) {
      const route = parseTopic(topic)
      if (route === undefined || route.row.direction !== 'up' || !('device' in route.params)) {
        return { code: 'ingest.topic', message: 'Nothing is read from this topic.' }
      }
      const { device } = route.params
      if (route.params.fleet !== fleet) {
        return { code: 'ingest.fleet', message: 'The topic is of another fleet.' }
      }
      // An empty message clears a retained one and means nothing.
      if (payload.length === 0) return undefined
      const waiting = perDevice.get(device) ?? 0
      if (queue.length >= QUEUE_MAX || waiting >= QUEUE_PER_DEVICE_MAX) {
        return { code: 'ingest.queue_full', message: 'Too many messages wait; it is sent again.' }
      }
      perDevice.set(device, waiting + 1)
      queue.push({ kind: KINDS[route.name as keyof typeof KINDS], device, topic, payload })
      return undefined
    },
    take(countMax) {
      const taken = queue.splice(0, countMax)
      for (const { device } of taken) {
        const left = (perDevice.get(device) ?? 1) - 1
        if (left > 0) perDevice.set(device, left)
        else perDevice.delete(device)
      }
      return taken
    },
    size: () => queue.length,
  }
}
