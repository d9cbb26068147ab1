/**
 * The port to the MQTT broker, embedded or external. Contract (test/contract/broker.contract.ts):
 * what devices publish and may publish reaches every `onMessage` handler, at least once and in the
 * order of each client and QoS; `publish` reaches whoever is subscribed, and retained messages
 * whoever comes later. Nothing here means that a message is stored: a broker acknowledges (PUBACK)
 * before anybody has kept anything, so the signed `dn/ack` after the commit is the only receipt.
 */
import type { Identity } from '../../shared/protocol/access.ts'

/** A message that a client published under `up/`, its last will included; never an empty one. */
export interface BrokerMessage {
  readonly topic: string
  readonly payload: Uint8Array
  /** An external broker sets it on what it kept from before, an embedded one as published. */
  readonly retain: boolean
  readonly qos: 0 | 1
  /** undefined where the broker does not tell: never a proof of origin, signatures are. */
  readonly clientId: string | undefined
}

export interface OutgoingMessage {
  /** A topic of shared/protocol/topics.ts. */
  readonly topic: string
  readonly payload: Uint8Array | string
  readonly qos: 0 | 1
  readonly retain: boolean
}

/** An embedded broker sees connections come and go; an external one reports nothing here. */
export interface PresenceEvent {
  readonly kind: 'connected' | 'disconnected'
  readonly clientId: string
  readonly identity: Identity
  readonly transport: Transport
  /** A stable code, for example `ended`, `keepalive_timeout`, `stalled`, `taken_over`. */
  readonly reason: string
}

export type Transport = 'tcp' | 'websocket'

interface BrokerStats {
  /** Clients with an accepted CONNECT. */
  readonly clients: number
  /** Open connections, accepted or not yet. */
  readonly connections: number
  /** Messages given to the handlers. */
  readonly messagesIn: number
  /** Messages published by us. */
  readonly messagesOut: number
  /**
   * Refused connections, packets, messages and subscriptions by code; the codes are a fixed set.
   */
  readonly refused: Readonly<Record<string, number>>
}

export interface Broker {
  /**
   * Resolves when the broker has taken the message over, which says nothing about who received it.
   * @throws ProblemError `broker.topic_unknown`, `broker.payload_too_large`, `broker.offline`,
   * `broker.overloaded`, `broker.closed`, `broker.retained_full`, `broker.publish_failed`
   */
  publish(message: OutgoingMessage): Promise<void>
  /** Handlers run at once and must not throw; one that does is counted as `handler_failed`. */
  onMessage(handler: (message: BrokerMessage) => void): void
  onPresence(handler: (event: PresenceEvent) => void): void
  /**
   * Closes a client's connection; its last will is out before this resolves.
   * @returns false when there is no such client, or an external broker holds it.
   */
  disconnect(clientId: string, reason: string): Promise<boolean>
  stats(): BrokerStats
  close(): Promise<void>
}

/** The part of pino that we use. */
export interface BrokerLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}
