/**
 * What the hooks and events of a client share. Invariant: `sessions` has at most one connection per
 * client id, and none that has left.
 */
import type { Client } from 'aedes'
import { type Problem, toProblem } from '../../shared/kernel/result.ts'
import type { Identity } from '../../shared/protocol/access.ts'
import { type AccessPolicy, type IncomingMessage, refuseMessage } from './admission.ts'
import type { BrokerMessage, PresenceEvent } from './broker.ts'
import type { Connection, Connections } from './connections.ts'
import type { Tally } from './tally.ts'

export interface ClientHandlerOptions {
  readonly access: AccessPolicy
  readonly limits: { readonly subscriptionsMax: number; readonly refusedMessagesMax: number }
  readonly tally: Tally
  readonly connections: Connections
  readonly isRetainedFull: (topic: string) => boolean
}

export interface ClientState extends ClientHandlerOptions {
  readonly byClient: WeakMap<Client, { connection: Connection; will: IncomingMessage | undefined }>
  /** By client id, claimed at authentication. At most one per open connection. */
  readonly sessions: Map<string, Connection>
  messageHandlers: ((message: BrokerMessage) => void)[]
  presenceHandlers: ((event: PresenceEvent) => void)[]
  messagesIn: number
}

/** The rules, and the one limit that is not about a single message. */
export function refuseIncoming(
  state: ClientState,
  identity: Identity,
  message: IncomingMessage,
): Problem | undefined {
  const refusal = refuseMessage(state.access, identity, message)
  if (refusal !== undefined || !message.retain) return refusal
  if (!state.isRetainedFull(message.topic)) return undefined
  return { code: 'message.retained_full', message: 'Too many topics are retained.' }
}

/** A handler that throws is our bug; the client and the other handlers must not feel it. */
export function callHandlers<T>(
  state: ClientState,
  handlers: readonly ((value: T) => void)[],
  value: T,
): void {
  for (const handler of handlers) {
    try {
      handler(value)
    } catch (cause) {
      state.tally.add('handler_failed', toProblem(cause, 'broker.handler_failed'))
    }
  }
}
