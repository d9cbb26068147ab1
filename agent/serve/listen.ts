/**
 * Opens the local API on loopback TCP, a Unix socket, or both. Slow and silent clients are cut: they
 * may hold neither memory nor sockets for long. A socket file left by a dead host is replaced.
 */
import { rm } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { ProblemError } from '../../shared/kernel/result.ts'
import { type ByteLedger, createByteLedger, type Holder } from './byte-ledger.ts'
import type { DirectListener } from './infer-listener.ts'

export interface Listening {
  /** Undefined when only a socket was asked for. */
  readonly port: number | undefined
  /** Answers what is under way, refuses the rest. */
  close(): Promise<void>
}

export interface ListenOptions {
  readonly tcp: { readonly host: string; readonly port: number } | null
  readonly socketPath: string | null
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

const CONNECTIONS_MAX = 512
const HEADER_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 60_000
/** How often slow senders are looked for. */
const CHECK_MS = 5_000
/** A connection on which nothing moves, neither way; longer than any answer takes to compute. */
const SILENCE_MS_MAX = 30_000
/** Longer than usual clients keep idle connections, so that they close first. */
const KEEP_ALIVE_MS = 65_000

/** A model is proved and loaded before its load is answered; its client waits in silence. */
const REPOSITORY_CHANGE = /^\/v2\/repository\/.*\/(?:load|unload)(?:\?|$)/
const CHANGE_MS_MAX = 600_000

/** Errors (thrown): `serve.cannot_listen`. */
export async function listen(fetch: Fetch, options: ListenOptions): Promise<Listening> {
  const servers: Server[] = []
  let port: number | undefined
  if (options.tcp !== null) {
    const server = await open(
      fetch,
      options,
      options.tcp,
      `${options.tcp.host}:${options.tcp.port}`,
    )
    servers.push(server)
    port = (server.address() as AddressInfo).port
  }
  if (options.socketPath !== null) {
    await rm(options.socketPath, { force: true })
    servers.push(await open(fetch, options, { path: options.socketPath }, options.socketPath))
  }
  return {
    port,
    close: async () => {
      await Promise.all(servers.map(closeServer))
    },
  }
}

function open(
  fetch: Fetch,
  { direct, ledger = createByteLedger() }: ListenOptions,
  where: { host: string; port: number } | { path: string },
  name: string,
): Promise<Server> {
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
      if (REPOSITORY_CHANGE.test(request.url ?? '')) request.socket.setTimeout(CHANGE_MS_MAX)
      if (!direct(request, response)) void listener(request, response)
    },
  )
  server.keepAliveTimeout = KEEP_ALIVE_MS
  server.maxConnections = CONNECTIONS_MAX
  // The socket is destroyed, for nobody listens to 'timeout'.
  server.timeout = SILENCE_MS_MAX
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(name, cause)))
    server.listen(where, () => resolve(server))
  })
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

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
}
