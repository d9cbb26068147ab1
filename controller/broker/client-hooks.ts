/**
 * What aedes asks about a client: may it connect, publish, subscribe. Messages reach the handlers
 * before aedes writes PUBACK and before any subscriber, so no slow reader holds up the ingest.
 */
import type { AedesOptions } from 'aedes'
import { type Problem, toProblem } from '../../shared/kernel/result.ts'
import type { IncomingMessage } from './admission.ts'
import type { BrokerMessage } from './broker.ts'
import { admit, NOT_AUTHORIZED, SERVER_UNAVAILABLE } from './client-connect.ts'
import { type ClientState, callHandlers, refuseIncoming } from './client-state.ts'
import type { Connection } from './connections.ts'

/**
 * Where refused messages go: aedes can only acknowledge or close, and nobody can subscribe here.
 */
const SINK_TOPIC = '$linnet/refused'

export type ClientHooks = Required<
  Pick<AedesOptions, 'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe'>
>

export function createClientHooks(state: ClientState): ClientHooks {
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
      const refusal = refuseIncoming(state, identity, message)
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

function deliver(state: ClientState, connection: Connection, message: IncomingMessage): void {
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
  callHandlers(state, state.messageHandlers, delivered)
}

/** Drops the message: it is acknowledged, as section 3.3.5 allows, and goes nowhere. */
function divert(
  state: ClientState,
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

function grant(state: ClientState, connection: Connection, filter: string): boolean {
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
