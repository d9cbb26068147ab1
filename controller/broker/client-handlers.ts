/**
 * What happens to a client from CONNECT to its end, as hooks and events of aedes.
 * Invariant: a client id belongs to one connection at a time, and a newcomer that may take it over
 * waits until the last will of the holder is out. Messages reach the handlers before aedes writes
 * PUBACK and before any subscriber, so that no slow reader holds up the ingest.
 */
import type { EventEmitter } from 'node:events'
import type { Aedes, AedesOptions, Client } from 'aedes'
import { type Problem, toProblem } from '../../shared/kernel/result.ts'
import type { Identity } from '../../shared/protocol/access.ts'
import { type AccessPolicy, type IncomingMessage, mayTakeOver, refuseMessage } from './admission.ts'
import type { BrokerMessage, PresenceEvent } from './broker.ts'
import type { Connection, Connections } from './connections.ts'
import type { Tally } from './tally.ts'

/** Where refused messages go: aedes can only acknowledge or close, and nobody can subscribe here. */
const SINK_TOPIC = '$linnet/refused'

/** CONNACK return codes, MQTT 3.1.1 section 3.2.2.3. */
const IDENTIFIER_REJECTED = 2
const SERVER_UNAVAILABLE = 3
const NOT_AUTHORIZED = 5

type Hooks = Required<
  Pick<AedesOptions, 'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe'>
>

export interface ClientHandlers {
  readonly hooks: Hooks
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

export interface ClientHandlerOptions {
  readonly access: AccessPolicy
  readonly limits: { readonly subscriptionsMax: number; readonly refusedMessagesMax: number }
  readonly tally: Tally
  readonly connections: Connections
  readonly isRetainedFull: (topic: string) => boolean
}

interface State extends ClientHandlerOptions {
  readonly byClient: WeakMap<Client, { connection: Connection; will: IncomingMessage | undefined }>
  /** By client id, claimed at authentication. At most one per open connection. */
  readonly sessions: Map<string, Connection>
  messageHandlers: ((message: BrokerMessage) => void)[]
  presenceHandlers: ((event: PresenceEvent) => void)[]
  messagesIn: number
}

export function createClientHandlers(options: ClientHandlerOptions): ClientHandlers {
  const state: State = {
    ...options,
    byClient: new WeakMap(),
    sessions: new Map(),
    messageHandlers: [],
    presenceHandlers: [],
    messagesIn: 0,
  }
  return {
    hooks: createHooks(state),
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

function createHooks(state: State): Hooks {
  return {
    preConnect(client, packet, done) {
      const entry = state.byClient.get(client)
      if (entry === undefined) return done(new Error('unknown connection'), false)
      // aedes answers other versions with return code 1 and closes; bridges set the highest bit.
      if (packet.protocolVersion === 5) entry.connection.note('mqtt_version', true)
      entry.will = packet.will && asIncoming(packet.will)
      // We answer "no session present", as section 3.1.2.4 lets a server do that has none.
      packet.clean = true
      done(null, true)
    },
    authenticate(client, username, password, done) {
      const entry = state.byClient.get(client)
      if (entry === undefined) return done(connackError(NOT_AUTHORIZED), false)
      const { connection } = entry
      const { transport } = connection
      const credentials = { clientId: client.id, username, password, transport }
      admit(state, connection, credentials, entry.will).then(
        (refusal) => {
          if (refusal === undefined) return done(null, true)
          connection.note(refusal.code, true)
          done(connackError(refusal.returnCode), false)
        },
        // The policy broke, which is our fault and not the client's.
        (cause: unknown) => {
          connection.note('authenticate_failed', true)
          state.tally.add('internal_error', toProblem(cause, 'broker.authenticate_failed'))
          done(connackError(SERVER_UNAVAILABLE), false)
        },
      )
    },
    authorizePublish(client, packet, done) {
      const connection = client ? state.byClient.get(client)?.connection : undefined
      const identity = connection?.identity
      if (connection === undefined || identity === undefined) {
        return done(new Error('publish without an identity'))
      }
      if (packet.qos === 2) {
        connection.note('qos_2', true)
        return done(new Error('QoS 2 is not part of the contract'))
      }
      const message = asIncoming(packet)
      const refusal = refusalOf(state, identity, message)
      if (refusal === undefined) deliver(state, connection, message)
      else divert(state, connection, packet, refusal)
      done(null)
    },
    authorizeSubscribe(client, subscription, done) {
      const connection = state.byClient.get(client)?.connection
      const isGranted = connection && grant(state, connection, subscription.topic)
      // null makes aedes answer 128, failure, for this filter (section 3.9.3).
      done(null, isGranted ? subscription : null)
    },
  }
}

interface ConnectRefusal {
  readonly code: string
  readonly returnCode: number
}

/** Decides a CONNECT; on success the client id belongs to this connection. */
async function admit(
  state: State,
  connection: Connection,
  credentials: Parameters<AccessPolicy['authenticate']>[0],
  will: IncomingMessage | undefined,
): Promise<ConnectRefusal | undefined> {
  const authenticated = await state.access.authenticate(credentials)
  if (!authenticated.ok) return { code: authenticated.error.code, returnCode: NOT_AUTHORIZED }
  const identity = authenticated.value
  if (will !== undefined) {
    const refusal = refusalOf(state, identity, will)
    const isRefused = refusal !== undefined || will.qos === 2
    if (isRefused) return { code: 'will_refused', returnCode: NOT_AUTHORIZED }
  }
  const { clientId } = credentials
  for (;;) {
    const holder = state.sessions.get(clientId)
    if (holder === undefined) break
    if (holder.identity === undefined || !mayTakeOver(holder.identity, identity)) {
      return { code: 'client_id_taken', returnCode: IDENTIFIER_REJECTED }
    }
    holder.end('taken_over', false)
    // leave() waits for the same promise and was there first: the id is free again.
    await holder.finished
  }
  if (connection.stream.destroyed) return { code: 'client_gone', returnCode: SERVER_UNAVAILABLE }
  state.sessions.set(clientId, connection)
  connection.clientId = clientId
  connection.identity = identity
  return undefined
}

function refusalOf(
  state: State,
  identity: Identity,
  message: IncomingMessage,
): Problem | undefined {
  const refusal = refuseMessage(state.access, identity, message)
  if (refusal !== undefined || !message.retain) return refusal
  if (!state.isRetainedFull(message.topic)) return undefined
  return { code: 'message.retained_full', message: 'Too many topics are retained.' }
}

function deliver(state: State, connection: Connection, message: IncomingMessage): void {
  // It clears what was retained and says nothing.
  if (message.payload.length === 0) return
  state.messagesIn += 1
  const { topic, retain } = message
  const delivered: BrokerMessage = {
    topic,
    payload: Buffer.from(message.payload),
    retain,
    qos: message.qos === 0 ? 0 : 1,
    clientId: connection.clientId,
  }
  for (const handler of state.messageHandlers) {
    guardHandler(state, () => handler(delivered))
  }
}

/** Drops the message: it is acknowledged, as section 3.3.5 allows, and goes nowhere. */
function divert(
  state: State,
  connection: Connection,
  packet: { topic: string; payload: string | Buffer; retain?: boolean },
  refusal: Problem,
): void {
  const { clientId } = connection
  state.tally.add(refusal.code, { clientId, expected: refusal.expected, found: refusal.found })
  packet.topic = SINK_TOPIC
  packet.payload = Buffer.alloc(0)
  packet.retain = false
  connection.refusedMessages += 1
  if (connection.refusedMessages > state.limits.refusedMessagesMax) {
    connection.end('refused_messages_max', true)
  }
}

function grant(state: State, connection: Connection, filter: string): boolean {
  const { identity, filters, clientId } = connection
  if (identity === undefined) return false
  const allowed = state.access.maySubscribe(identity, filter)
  const hasRoom = filters.has(filter) || filters.size < state.limits.subscriptionsMax
  if (allowed.ok && hasRoom) {
    filters.add(filter)
    return true
  }
  const code = allowed.ok ? 'subscriptions_max' : allowed.error.code
  state.tally.add(code, { clientId, ...(allowed.ok ? {} : { found: allowed.error.found }) })
  return false
}

function listen(state: State, aedes: Aedes): void {
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

/** The words are aedes'; a test holds `drain timeout`, everything unknown is the client's garbage. */
function reasonOf(error: Error): { reason: string; isRefusal: boolean } {
  if (error.message === 'drain timeout') return { reason: 'stalled', isRefusal: true }
  // Socket errors carry a system code: the network's doing.
  if ('code' in error) return { reason: 'connection_lost', isRefusal: false }
  return { reason: 'protocol_error', isRefusal: true }
}

function leave(state: State, connection: Connection): void {
  const { clientId } = connection
  if (clientId !== undefined && state.sessions.get(clientId) === connection) {
    state.sessions.delete(clientId)
  }
  if (connection.isAccepted) {
    tell(state, connection, 'disconnected', connection.reason ?? 'ended')
  }
}

function tell(
  state: State,
  connection: Connection,
  kind: PresenceEvent['kind'],
  reason: string,
): void {
  const { clientId, identity, transport } = connection
  if (clientId === undefined || identity === undefined) return
  for (const handler of state.presenceHandlers) {
    guardHandler(state, () => handler({ kind, clientId, identity, transport, reason }))
  }
}

function guardHandler(state: State, call: () => void): void {
  try {
    call()
  } catch (cause) {
    state.tally.add('handler_failed', toProblem(cause, 'broker.handler_failed'))
  }
}

function asIncoming(packet: {
  topic: string
  payload: string | Buffer
  qos?: number
  retain?: boolean
}): IncomingMessage {
  const { topic, payload, qos = 0, retain = false } = packet
  return { topic, payload, qos, retain }
}

/** aedes reads the code of CONNACK from `returnCode`. */
function connackError(returnCode: number): Error & { returnCode: number } {
  return Object.assign(new Error('CONNECT refused'), { returnCode })
}
