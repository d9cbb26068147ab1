/**
 * The clients of the embedded broker, from their first byte to their end: hooks for aedes, its
 * events as presence, and who listens. Invariant: each accepted client is told once as connected
 * and once as disconnected, with the first reason that was known.
 */
import type { EventEmitter } from 'node:events'
import type { Aedes, Client } from 'aedes'
import { toProblem } from '../../shared/kernel/result.ts'
import type { BrokerMessage, PresenceEvent } from './broker.ts'
import { type ClientHooks, createClientHooks } from './client-hooks.ts'
import { type ClientHandlerOptions, type ClientState, callHandlers } from './client-state.ts'
import type { Connection } from './connections.ts'

export interface ClientHandlers {
  readonly hooks: ClientHooks
  listen(aedes: Aedes): void
  serve(connection: Connection, client: Client): void
  onMessage(handler: (message: BrokerMessage) => void): void
  onPresence(handler: (event: PresenceEvent) => void): void
  /** Hands over nothing more: the last wills of a shutdown are not news about devices. */
  mute(): void
  find(clientId: string): Connection | undefined
  count(): number
  messagesIn(): number
}

export function createClientHandlers(options: ClientHandlerOptions): ClientHandlers {
  const state: ClientState = {
    ...options,
    byClient: new WeakMap(),
    sessions: new Map(),
    messageHandlers: [],
    presenceHandlers: [],
    messagesIn: 0,
  }
  return {
    hooks: createClientHooks(state),
    listen: (aedes) => listen(state, aedes),
    serve(connection, client) {
      state.byClient.set(client, { connection, will: undefined })
      void connection.finished.then(() => leave(state, connection))
    },
    onMessage: (handler) => void state.messageHandlers.push(handler),
    onPresence: (handler) => void state.presenceHandlers.push(handler),
    mute() {
      state.messageHandlers = []
      state.presenceHandlers = []
    },
    find: (clientId) => state.sessions.get(clientId),
    count: () => [...state.sessions.values()].filter((session) => session.isAccepted).length,
    messagesIn: () => state.messagesIn,
  }
}

function listen(state: ClientState, aedes: Aedes): void {
  const of = (client: Client): Connection | undefined => state.byClient.get(client)?.connection
  aedes.on('client', (client) => {
    const connection = of(client)
    // aedes may register a client that has ended meanwhile; it stays ended for us.
    if (connection !== undefined && !connection.stream.destroyed) connection.isRegistered = true
  })
  aedes.on('clientReady', (client) => {
    const connection = of(client)
    if (connection === undefined) return
    connection.accept()
    tell(state, connection, 'connected', 'accepted')
  })
  aedes.on('clientDisconnect', (client) => {
    const connection = of(client)
    if (connection !== undefined) state.connections.finish(connection)
  })
  aedes.on('unsubscribe', (filters, client) => {
    for (const filter of filters) of(client)?.filters.delete(filter)
  })
  aedes.on('keepaliveTimeout', (client) => of(client)?.note('keepalive_timeout', false))
  const explain = (client: Client, error: Error): void => {
    const { reason, isRefusal } = reasonOf(error)
    of(client)?.note(reason, isRefusal)
  }
  aedes.on('clientError', explain)
  aedes.on('connectionError', explain)
  const emitter: EventEmitter = aedes
  emitter.on('error', (error: unknown) =>
    state.tally.add('internal_error', toProblem(error, 'broker.internal_error')),
  )
}

/**
 * The words are aedes'; a test holds `drain timeout`, everything unknown is the client's garbage.
 */
function reasonOf(error: Error): { reason: string; isRefusal: boolean } {
  if (error.message === 'drain timeout') return { reason: 'stalled', isRefusal: true }
  // Socket errors carry a system code: the network's doing.
  if ('code' in error) return { reason: 'connection_lost', isRefusal: false }
  return { reason: 'protocol_error', isRefusal: true }
}

function leave(state: ClientState, connection: Connection): void {
  const { clientId } = connection
  if (clientId !== undefined && state.sessions.get(clientId) === connection) {
    state.sessions.delete(clientId)
  }
  if (connection.isAccepted) {
    tell(state, connection, 'disconnected', connection.reason ?? 'ended')
  }
}

function tell(
  state: ClientState,
  connection: Connection,
  kind: PresenceEvent['kind'],
  reason: string,
): void {
  const { clientId, identity, transport } = connection
  if (clientId === undefined || identity === undefined) return
  const event = { kind, clientId, identity, transport, reason }
  callHandlers(state, state.presenceHandlers, event)
}
