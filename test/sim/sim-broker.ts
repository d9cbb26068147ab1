/**
 * A broker without sockets: the controller's `Broker` port on one side, sessions of devices on the
 * other; retained messages, last wills and take-over as MQTT 3.1.1 has them.
 *
 * Invariants: it lives and dies with its controller, as the embedded broker does, and then forgets
 * what was retained; `broker_restart` alone keeps it. A device can publish only under its own `up/`.
 */

import type { UpTopic } from '../../agent/ports.ts'
import type {
  Broker,
  BrokerMessage,
  OutgoingMessage,
  PresenceEvent,
} from '../../controller/broker/broker.ts'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { formatTopic, TOPICS, type TopicName } from '../../shared/protocol/topics.ts'
import type { Line } from './network.ts'
import type { Sabotage } from './sabotage.ts'
import type { World } from './world.ts'

/** What the broker does for the session of one device. */
export interface SessionHandlers {
  message(topic: 'dn/desired' | 'dn/ack', payload: Uint8Array): void
  /** From the broker's side; the device hears of it. */
  closed(reason: string): void
}

export interface Session {
  publish(topic: UpTopic, payload: Uint8Array): void
  /** The broker sends the retained messages of this device's topics. */
  subscribe(): void
  /** `graceful` keeps the last will from going out. */
  close(reason: string, graceful: boolean): void
}

export interface SimBroker extends Broker {
  /** undefined while no broker runs. */
  connect(
    device: string,
    line: Line,
    will: Uint8Array,
    handlers: SessionHandlers,
  ): Session | undefined
  /** A new process of the broker: connections are gone; `keepRetained` is its disk. */
  restart(keepRetained: boolean): void
  /** Runs for every message that the controller publishes, as it leaves. */
  onOutgoing(observer: (message: OutgoingMessage) => void): void
}

/** How long until a broker notices that a device has gone without a word. */
const KEEPALIVE_MS = 90_000
const DOWN: readonly TopicName[] = ['dn/desired', 'dn/ack']

interface Client {
  readonly device: string
  readonly line: Line
  readonly will: Uint8Array
  readonly handlers: SessionHandlers
  open: boolean
}

export function createSimBroker(world: World, fleet: string, sabotage: Sabotage): SimBroker {
  return new SimulatedBroker(world, fleet, sabotage)
}

class SimulatedBroker implements SimBroker {
  readonly #world: World
  readonly #fleet: string
  readonly #sabotage: Sabotage
  readonly #retained = new Map<string, Uint8Array>()
  readonly #clients = new Map<string, Client>()
  #running = false
  #messagesIn = 0
  #messagesOut = 0
  #onMessage: ((message: BrokerMessage) => void)[] = []
  #onPresence: ((event: PresenceEvent) => void)[] = []
  #observers: ((message: OutgoingMessage) => void)[] = []

  constructor(world: World, fleet: string, sabotage: Sabotage) {
    this.#world = world
    this.#sabotage = sabotage
    this.#fleet = fleet
  }

  async publish(message: OutgoingMessage): Promise<void> {
    const payload = typeof message.payload === 'string' ? utf8(message.payload) : message.payload
    this.#messagesOut += 1
    for (const observer of this.#observers) observer(message)
    if (message.retain && payload.length > 0) this.#retained.set(message.topic, payload)
    else if (message.retain) this.#retained.delete(message.topic)
    const device = deviceOf(message.topic)
    const client = device === undefined ? undefined : this.#clients.get(device)
    if (client !== undefined) this.#send(client, message.topic, payload)
  }

  onMessage(handler: (message: BrokerMessage) => void): void {
    this.#onMessage.push(handler)
    this.#running = true
  }

  onPresence(handler: (event: PresenceEvent) => void): void {
    this.#onPresence.push(handler)
  }

  async disconnect(clientId: string, reason: string): Promise<boolean> {
    const client = this.#clients.get(clientId)
    if (client === undefined) return false
    this.#drop(client, reason, true)
    return true
  }

  stats() {
    return {
      clients: this.#clients.size,
      connections: this.#clients.size,
      messagesIn: this.#messagesIn,
      messagesOut: this.#messagesOut,
      refused: {},
    }
  }

  async close(): Promise<void> {
    this.restart(false)
    this.#running = false
    this.#onMessage = []
    this.#onPresence = []
  }

  onOutgoing(observer: (message: OutgoingMessage) => void): void {
    this.#observers.push(observer)
  }

  restart(keepRetained: boolean): void {
    for (const client of [...this.#clients.values()]) this.#drop(client, 'broker restart', false)
    if (!keepRetained) this.#retained.clear()
  }

  connect(
    device: string,
    line: Line,
    will: Uint8Array,
    handlers: SessionHandlers,
  ): Session | undefined {
    if (!this.#running) return undefined
    const former = this.#clients.get(device)
    if (former !== undefined) this.#drop(former, 'taken_over', true)
    const client: Client = { device, line, will, handlers, open: true }
    this.#clients.set(device, client)
    this.#presence(client, 'connected', 'accepted')
    return {
      publish: (topic, payload) => {
        line.carry(1, () => this.#receive(client, topic, payload))
      },
      subscribe: () => this.#sendRetained(client),
      close: (reason, graceful) => this.#closedByDevice(client, reason, graceful),
    }
  }

  #receive(client: Client, name: UpTopic, payload: Uint8Array): void {
    if (!client.open) return
    const topic = formatTopic(name, { fleet: this.#fleet, device: client.device })
    this.#deliver(topic, payload, client.device)
  }

  #deliver(topic: string, payload: Uint8Array, clientId: string): void {
    this.#messagesIn += 1
    for (const handler of this.#onMessage) {
      handler({ topic, payload, retain: false, qos: 1, clientId })
    }
  }

  #sendRetained(client: Client): void {
    for (const name of DOWN) {
      const topic = this.#topic(name, client.device)
      const payload = this.#retained.get(topic)
      if (payload !== undefined) this.#send(client, topic, payload)
    }
  }

  #send(client: Client, topic: string, payload: Uint8Array): void {
    const name = topic.split('/').slice(-2).join('/')
    if (name !== 'dn/desired' && name !== 'dn/ack') return
    if (name === 'dn/desired' && client.device === this.#sabotage.deaf) return
    client.line.carry(TOPICS[name].qos, () => {
      if (client.open) client.handlers.message(name, payload)
    })
  }

  /** A device that just vanishes is missed after the keepalive alone. */
  #closedByDevice(client: Client, reason: string, graceful: boolean): void {
    const noticedMs = graceful ? 0 : KEEPALIVE_MS
    this.#world.after(noticedMs, () => {
      if (client.open) this.#drop(client, reason, !graceful)
    })
  }

  #drop(client: Client, reason: string, withWill: boolean): void {
    if (!client.open) return
    client.open = false
    if (this.#clients.get(client.device) === client) this.#clients.delete(client.device)
    if (withWill) this.#deliver(this.#topic('up/state', client.device), client.will, client.device)
    this.#presence(client, 'disconnected', reason)
    this.#world.after(client.line.delayMs(), () => client.handlers.closed(reason))
  }

  #presence(client: Client, kind: PresenceEvent['kind'], reason: string): void {
    const identity = { kind: 'device', fleet: this.#fleet, device: client.device } as const
    for (const handler of this.#onPresence) {
      handler({ kind, clientId: client.device, identity, transport: 'tcp', reason })
    }
  }

  #topic(name: TopicName, device: string): string {
    return TOPICS[name].pattern.replace('{fleet}', this.#fleet).replace('{device}', device)
  }
}

/** `ln1/{fleet}/d/{device}/...` */
function deviceOf(topic: string): string | undefined {
  const levels = topic.split('/')
  return levels[2] === 'd' ? levels[3] : undefined
}
