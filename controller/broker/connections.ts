/**
 * One record per open connection of the embedded broker: who it is, why it ends, what it was
 * refused.
 * Invariant: a connection is in the set from its first byte until aedes has let go of it (its last
 * will is out); its first reason to end is the one that is told. At most `connectionsMax` are open:
 * one more is closed at once, without a word, and comes back by its own back-off.
 */
import type { Duplex } from 'node:stream'
import type { Identity } from '../../shared/protocol/access.ts'
import type { Transport } from './broker.ts'
import { GuardedStream } from './guarded-stream.ts'
import { createPacketGuard, type PacketLimits } from './packet-guard.ts'
import type { Tally } from './tally.ts'

export interface Connection {
  readonly stream: Duplex
  readonly transport: Transport
  /** For logs only. */
  readonly remoteAddress: string | undefined
  /** Known once the CONNECT was authenticated. */
  identity: Identity | undefined
  clientId: string | undefined
  /** aedes knows the client under its id and will say when it is gone. */
  isRegistered: boolean
  isAccepted: boolean
  refusedMessages: number
  /** Filters granted, at most `subscriptionsMax`. */
  readonly filters: Set<string>
  /** Resolves when the connection has left the set. */
  readonly finished: Promise<void>
  readonly reason: string | undefined
  /** Notes why it is about to end; `isRefusal` counts it. The first reason stays. */
  note(reason: string, isRefusal: boolean): void
  end(reason: string, isRefusal: boolean): void
  /** CONNECT accepted: the deadline is over, larger packets may pass. */
  accept(): void
}

export interface ConnectionLimits extends PacketLimits {
  readonly connectionsMax: number
  /** From the first byte to an accepted CONNECT, authentication included. */
  readonly connectTimeoutMs: number
}

export interface Connections {
  /** @returns undefined when there are too many; the source is destroyed then. */
  open(source: Duplex, transport: Transport, remoteAddress?: string): Connection | undefined
  /** Called once for each connection, when nothing more will come of it. */
  finish(connection: Connection): void
  isFull(): boolean
  all(): Iterable<Connection>
  count(): number
}

export function createConnections(limits: ConnectionLimits, tally: Tally): Connections {
  const open = new Map<Connection, () => void>()
  const finish = (connection: Connection): void => {
    const resolve = open.get(connection)
    open.delete(connection)
    resolve?.()
  }
  return {
    open(source, transport, remoteAddress) {
      if (open.size >= limits.connectionsMax) {
        tally.add('connections_max', { transport, remoteAddress })
        source.on('error', () => {})
        source.destroy()
        return undefined
      }
      const { promise, resolve } = deferred()
      const connection = createConnection(source, limits, tally, {
        transport,
        remoteAddress,
        finished: promise,
      })
      open.set(connection, resolve)
      connection.stream.once('close', () => {
        if (!connection.isRegistered) finish(connection)
      })
      return connection
    },
    finish,
    isFull: () => open.size >= limits.connectionsMax,
    all: () => [...open.keys()],
    count: () => open.size,
  }
}

function createConnection(
  source: Duplex,
  limits: ConnectionLimits,
  tally: Tally,
  facts: Pick<Connection, 'transport' | 'remoteAddress' | 'finished'>,
): Connection {
  let reason: string | undefined
  const stream = new GuardedStream(source, createPacketGuard(limits), (refusal) =>
    connection.end(refusal, true),
  )
  const connection: Connection = {
    ...facts,
    stream,
    identity: undefined,
    clientId: undefined,
    isRegistered: false,
    isAccepted: false,
    refusedMessages: 0,
    filters: new Set(),
    get reason() {
      return reason
    },
    note(why, isRefusal) {
      if (reason !== undefined) return
      reason = why
      const { clientId } = connection
      const { transport, remoteAddress } = facts
      if (isRefusal) tally.add(why, { clientId, transport, remoteAddress })
    },
    end(why, isRefusal) {
      connection.note(why, isRefusal)
      stream.destroy()
    },
    accept() {
      clearTimeout(deadline)
      connection.isAccepted = true
      stream.accept()
    },
  }
  const deadline = setTimeout(
    () => connection.end('connect_timeout', true),
    limits.connectTimeoutMs,
  )
  stream.once('close', () => clearTimeout(deadline))
  return connection
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
