/**
 * The broker inside the controller's process: aedes over TCP and over WebSocket, with its five
 * traps closed (design page wire.md): a stalled subscriber is dropped after `drainTimeoutMs`;
 * packet sizes are guarded before the parser (guarded-stream.ts); retained look-ups are indexed;
 * PUBACK is never taken for storage; `$share` is refused.
 * Invariant: no client reaches aedes' topics except through `refuseMessage` and the access policy.
 * No session outlives its connection, so nothing is queued for absent clients. Whether payloads
 * mean anything, and who signed them, is decided by ingest.
 */
import type { Server as HttpServer } from 'node:http'
import type { Duplex } from 'node:stream'
import { Aedes, type Client } from 'aedes'
import { ProblemError } from '../../shared/kernel/result.ts'
import type { TlsIdentity } from '../tls.ts'
import { type AccessPolicy, refuseOutgoing } from './admission.ts'
import type { Broker, BrokerLog, OutgoingMessage, Transport } from './broker.ts'
import { type ClientHandlers, createClientHandlers } from './client-handlers.ts'
import { type Connection, type Connections, createConnections } from './connections.ts'
import { indexRetained, type RetainedIndex, type RetainedStore } from './retained-index.ts'
import { createTally, type Tally } from './tally.ts'
import { listenTcp, type TcpListener } from './tcp-entrance.ts'
import { attachWebSocket } from './websocket-entrance.ts'

interface EmbeddedBrokerLimits {
  /** Bytes of a CONNECT, header included. */
  readonly connectBytesMax: number
  /** Bytes of any later packet, header included; also of a WebSocket frame. */
  readonly packetBytesMax: number
  /** One connection more is closed at once (WebSocket: 503). */
  readonly connectionsMax: number
  /** From the first byte to an accepted CONNECT. */
  readonly connectTimeoutMs: number
  /** A client that does not read for so long is closed as `stalled`. */
  readonly drainTimeoutMs: number
  /** Retained topics; a message for one more is refused. */
  readonly retainedTopicsMax: number
  /** Filters per connection; one more is refused with SUBACK 128. */
  readonly subscriptionsMax: number
  /** Refused messages per connection are dropped; after so many the client is disconnected. */
  readonly refusedMessagesMax: number
}

const DEFAULT_LIMITS: EmbeddedBrokerLimits = {
  connectBytesMax: 4 * 1024,
  packetBytesMax: 256 * 1024,
  connectionsMax: 20_000,
  connectTimeoutMs: 10_000,
  drainTimeoutMs: 2_000,
  retainedTopicsMax: 100_000,
  subscriptionsMax: 50,
  refusedMessagesMax: 16,
}

export interface EmbeddedBrokerOptions {
  readonly access: AccessPolicy
  /** Without it there is no TCP listener; port 0 takes a free one. */
  readonly tcp?: { readonly host: string; readonly port: number; readonly tls?: TlsIdentity }
  /** Origins that may open a WebSocket besides the server's own. */
  readonly originsAllowed?: readonly string[]
  readonly limits?: Partial<EmbeddedBrokerLimits>
  readonly log?: BrokerLog
}

export interface EmbeddedBroker extends Broker {
  readonly tcpPort: number | undefined
  /** Connections over TCP from now on see this certificate. */
  renew(tls: TlsIdentity): void
  /**
   * Serves `/mqtt` upgrades of this HTTP server; its life stays the caller's.
   * @param isKnownHost whether a Host header names it: a page can point its own name here.
   */
  attach(server: HttpServer, isKnownHost: (host: string) => boolean): void
  /** Serves one byte stream: an accepted socket, or one end of a pair inside this process. */
  accept(source: Duplex, transport: Transport, remoteAddress?: string): void
}

const WEBSOCKET_PATH = '/mqtt'

interface Parts {
  readonly aedes: Aedes
  readonly connections: Connections
  readonly handlers: ClientHandlers
  readonly retained: RetainedIndex
  readonly tally: Tally
  readonly limits: EmbeddedBrokerLimits
}

/** @throws the listener's error, for example EADDRINUSE. */
export async function createEmbeddedBroker(
  options: EmbeddedBrokerOptions,
): Promise<EmbeddedBroker> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const tally = createTally(options.log)
  const connections = createConnections(limits, tally)
  const handlers = createClientHandlers({
    access: options.access,
    limits,
    tally,
    connections,
    isRetainedFull: (topic) => isRetainedFull(topic),
  })
  const aedes = await Aedes.createBroker({
    ...handlers.hooks,
    drainTimeout: limits.drainTimeoutMs,
    // Ours counts authentication too and names its reason; this one only must not come first.
    connectTimeout: 2 * limits.connectTimeoutMs,
    maxClientsIdLength: 64,
    maxTopicLevels: 8,
  })
  handlers.listen(aedes)
  // aedes declares no type for its persistence; indexRetained checks that it is there.
  const { persistence } = aedes as unknown as { persistence: RetainedStore }
  const retained = indexRetained(persistence)
  function isRetainedFull(topic: string): boolean {
    return retained.size() >= limits.retainedTopicsMax && !retained.has(topic)
  }
  const parts: Parts = { aedes, connections, handlers, retained, tally, limits }
  const serve = (connection: Connection): void =>
    handlers.serve(connection, aedes.handle(connection.stream) as Client)
  const accept: EmbeddedBroker['accept'] = (source, transport, remoteAddress) => {
    const connection = connections.open(source, transport, remoteAddress)
    if (connection !== undefined) serve(connection)
  }
  const tcp = options.tcp && (await listenTcp(options.tcp, (s, from) => accept(s, 'tcp', from)))
  return assemble(parts, { accept, serve, tcp, originsAllowed: options.originsAllowed ?? [] })
}

interface Entrances {
  readonly accept: EmbeddedBroker['accept']
  readonly serve: (connection: Connection) => void
  readonly tcp: TcpListener | undefined
  readonly originsAllowed: readonly string[]
}

function assemble(parts: Parts, entrances: Entrances): EmbeddedBroker {
  const { connections, handlers, tally, limits } = parts
  const detachments: (() => void)[] = []
  let messagesOut = 0
  let isClosed = false
  return {
    tcpPort: entrances.tcp?.port,
    accept(source, transport, remoteAddress) {
      if (isClosed) source.destroy()
      else entrances.accept(source, transport, remoteAddress)
    },
    renew: (tls) => entrances.tcp?.renew(tls),
    attach(server, isKnownHost) {
      const detach = attachWebSocket(server, {
        path: WEBSOCKET_PATH,
        isKnownHost,
        originsAllowed: entrances.originsAllowed,
        frameBytesMax: limits.packetBytesMax,
        // Room for frame headers: a client may cut its CONNECT into small frames.
        unacceptedBytesMax: 2 * limits.connectBytesMax,
        connections,
        tally,
        serve: entrances.serve,
      })
      detachments.push(detach)
    },
    async publish(message) {
      if (isClosed) throw problem('broker.closed', 'The broker is closed.')
      await publish(parts, message)
      messagesOut += 1
    },
    onMessage: handlers.onMessage,
    onPresence: handlers.onPresence,
    async disconnect(clientId, reason) {
      const connection = handlers.find(clientId)
      if (connection === undefined) return false
      connection.end(reason, false)
      await connection.finished
      return true
    },
    stats: () => ({
      clients: handlers.count(),
      connections: connections.count(),
      messagesIn: handlers.messagesIn(),
      messagesOut,
      refused: tally.counts(),
    }),
    async close() {
      if (isClosed) return
      isClosed = true
      for (const detach of detachments) detach()
      handlers.mute()
      const tcpClosed = entrances.tcp?.close()
      for (const connection of connections.all()) connection.end('shutdown', false)
      await tcpClosed
      await new Promise<void>((resolve) => parts.aedes.close(resolve))
    },
  }
}

async function publish(parts: Parts, message: OutgoingMessage): Promise<void> {
  const refusal = refuseOutgoing(message)
  if (refusal !== undefined) throw new ProblemError(refusal)
  const { retained, limits } = parts
  const isNew = message.retain && !retained.has(message.topic)
  if (isNew && retained.size() >= limits.retainedTopicsMax) {
    throw problem('broker.retained_full', 'Too many topics are retained.')
  }
  const { topic, qos, retain } = message
  const payload = Buffer.from(message.payload)
  await new Promise<void>((resolve, reject) => {
    parts.aedes.publish({ cmd: 'publish', dup: false, topic, payload, qos, retain }, (error) =>
      error ? reject(error) : resolve(),
    )
  })
}

function problem(code: string, message: string): ProblemError {
  return new ProblemError({ code, message })
}
