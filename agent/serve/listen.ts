/**
 * Opens the local API on loopback TCP, a Unix socket, or both. Slow and silent clients are cut: they
 * may hold neither memory nor sockets for long. A socket file left by a dead host is replaced.
 */
import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { ProblemError } from '../../shared/kernel/result.ts'
import { type ByteLedger, createByteLedger, type Holder } from './byte-ledger.ts'
import {
  CONNECTIONS_MAX,
  HEADER_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  REQUEST_TIMEOUT_MS,
  SILENCE_MS_MAX,
} from './connection-limits.ts'
import type { InferLane } from './infer-lane.ts'
import type { DirectListener } from './infer-listener.ts'

export interface Listening {
  /** Undefined when only a socket was asked for. */
  readonly port: number | undefined
  /**
   * Answers what is under way, and what came on a connection before its client learned with the
   * answer that it is the last one; nobody is let in any more.
   */
  close(): Promise<void>
}

export interface ListenOptions {
  readonly tcp: { readonly host: string; readonly port: number } | null
  readonly socketPath: string | null
  /** Has each connection until it hands it over; absent: none. */
  readonly lane?: InferLane
  /** Asked first; what it leaves goes to the fetch-like API. */
  readonly direct: DirectListener
  /** Of this process; absent: one of its own. */
  readonly ledger?: ByteLedger
}

/** See `InferenceApi`. */
type Fetch = (
  request: Request,
  isGone: () => boolean,
  enter: () => Holder,
) => Response | Promise<Response>

/** How often slow senders are looked for. */
const CHECK_MS = 5_000

/** A model is proved and loaded before its load is answered; its client waits in silence. */
const REPOSITORY_CHANGE = /^\/v2\/repository\/.*\/(?:load|unload)(?:\?|$)/
const CHANGE_MS_MAX = 600_000

/** Errors (thrown): `serve.cannot_listen`. */
export async function listen(fetch: Fetch, options: ListenOptions): Promise<Listening> {
  const servers: OpenServer[] = []
  let port: number | undefined
  if (options.tcp !== null) {
    const server = await open(
      fetch,
      options,
      options.tcp,
      `${options.tcp.host}:${options.tcp.port}`,
    )
    servers.push(server)
    port = (server.http.address() as AddressInfo).port
  }
  if (options.socketPath !== null) {
    await rm(options.socketPath, { force: true })
    servers.push(await open(fetch, options, { path: options.socketPath }, options.socketPath))
  }
  return {
    port,
    close: async () => {
      await Promise.all(servers.map((server) => server.close()))
    },
  }
}

interface OpenServer {
  readonly http: Server
  close(): Promise<void>
}

function open(
  fetch: Fetch,
  { lane, direct, ledger = createByteLedger() }: ListenOptions,
  where: { host: string; port: number } | { path: string },
  name: string,
): Promise<OpenServer> {
  const farewell = createFarewell()
  const isUnix = 'path' in where
  const listener = getRequestListener((request, { outgoing }) =>
    fetch(
      request,
      () => outgoing.destroyed,
      () => holderOf(outgoing as ServerResponse, ledger),
    ),
  )
  const server = createServer(
    {
      ...{ headersTimeout: HEADER_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS, noDelay: true },
      connectionsCheckingInterval: CHECK_MS,
    },
    (request, response) => {
      farewell.enter(request.socket, response)
      if (isUnix) forgetHost(request)
      if (REPOSITORY_CHANGE.test(request.url ?? '')) request.socket.setTimeout(CHANGE_MS_MAX)
      if (!direct(request, response)) void listener(request, response)
    },
  )
  server.keepAliveTimeout = KEEP_ALIVE_MS
  server.maxConnections = CONNECTIONS_MAX
  // The socket is destroyed, for nobody listens to 'timeout'.
  server.timeout = SILENCE_MS_MAX
  if (lane !== undefined) putBefore(server, lane, isUnix)
  const close = (): Promise<void> => {
    lane?.close()
    return farewell.close(server)
  }
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(name, cause)))
    server.listen(where, () => resolve({ http: server, close }))
  })
}

/**
 * A connection may be put into Node's server by its event 'connection' (documentation of http.Server);
 * here that is done when the lane hands it over, and not before.
 */
function putBefore(server: Server, lane: InferLane, isUnix: boolean): void {
  const takers = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const handOver = (): void => {
      for (const take of takers) take.call(server, socket)
    }
    lane.enter(socket, handOver, isUnix)
  })
}

/**
 * No page of a browser reaches a Unix socket, whatever name it has looked up; programs that do send
 * any name there. An Origin stays what it is.
 */
function forgetHost(request: IncomingMessage): void {
  const { rawHeaders, headers } = request
  headers.host = 'localhost'
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === 'host') rawHeaders[i + 1] = 'localhost'
  }
}

function holderOf(outgoing: ServerResponse, ledger: ByteLedger): Holder {
  const holder = ledger.enter(() => outgoing.destroy())
  outgoing.once('finish', holder.leave)
  outgoing.once('close', holder.leave)
  return holder
}

/** @param name of the address, for people. */
export function cannotListen(name: string, cause: NodeJS.ErrnoException): ProblemError {
  return new ProblemError(
    {
      code: 'serve.cannot_listen',
      message: `The local API cannot listen on ${name}.`,
      found: cause.code ?? cause.message,
      next: 'choose another port, or stop the program that uses it',
    },
    { cause },
  )
}

interface Farewell {
  enter(socket: Socket, response: ServerResponse): void
  close(server: Server): Promise<void>
}

/**
 * Node keeps a connection that answers a request while its server closes, and takes more requests on
 * it, so that a busy client would hold the server open for as long as it asks.
 */
function createFarewell(): Farewell {
  const newest = new Map<Socket, ServerResponse>()
  let isClosing = false
  return {
    enter(socket, response) {
      if (isClosing) bidFarewell(response)
      if (!newest.has(socket)) socket.once('close', () => newest.delete(socket))
      newest.set(socket, response)
    },
    close(server) {
      isClosing = true
      for (const response of newest.values()) bidFarewell(response)
      return new Promise((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
      })
    },
  }
}

/** The connection ends with this answer; its client is told, where the head is not out yet. */
function bidFarewell(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close')
  else if (!response.writableFinished) response.once('finish', () => response.req.socket.end())
}
