/**
 * The socket under the HTTP application. The broker attaches to the same server for WebSocket.
 * Limits: 16 kB of headers within 15 s, 10,000 connections; beyond them a connection is dropped.
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import { ProblemError } from '../../shared/kernel/result.ts'
import { TLS_OPTIONS, type TlsIdentity } from '../tls.ts'

const HEADERS_TIMEOUT_MS = 15_000
/** A model over a slow line takes its time; what stands still is cut by the socket's timeout. */
const REQUEST_TIMEOUT_MS = 3_600_000
const SOCKET_IDLE_MS = 120_000
const CONNECTIONS_MAX = 10_000
const DRAIN_MS = 5_000
const DRAIN_POLL_MS = 20

export interface HttpServer {
  readonly server: Server
  readonly port: number
  /** Connections from now on see this certificate. */
  renew(tls: TlsIdentity): void
  /** Takes no more, lets answers under way finish for at most 5 s, then cuts. */
  close(): Promise<void>
}

/** Errors (thrown): `http.port_in_use`, `http.cannot_listen`. */
export async function startHttpServer(
  hono: Hono,
  address: { host: string; port: number },
  tls?: TlsIdentity,
): Promise<HttpServer> {
  const listener = getRequestListener(hono.fetch, { overrideGlobalObjects: false })
  const inFlight = new Set<object>()
  const take: RequestListener = (incoming, outgoing) => {
    inFlight.add(outgoing)
    outgoing.once('close', () => inFlight.delete(outgoing))
    void listener(incoming, outgoing)
  }
  const secure = tls && createTlsServer({ ...tls, ...TLS_OPTIONS }, take)
  const server = secure === undefined ? createServer(take) : plain(secure)
  server.headersTimeout = HEADERS_TIMEOUT_MS
  server.requestTimeout = REQUEST_TIMEOUT_MS
  server.maxConnections = CONNECTIONS_MAX
  server.setTimeout(SOCKET_IDLE_MS)
  await listen(server, address)
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
  return {
    server,
    port,
    renew: (next) => secure?.setSecureContext({ ...next, ...TLS_OPTIONS }),
    close: () => closeServer(server, inFlight),
  }
}

/** Both kinds of server have all that is used here; Node's types know no common name for them. */
function plain(server: TlsServer): Server {
  return server as unknown as Server
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const inUse = cause.code === 'EADDRINUSE'
      const problem = {
        code: inUse ? 'http.port_in_use' : 'http.cannot_listen',
        message: inUse
          ? `Port ${port} is in use: another controller may be running.`
          : `The controller cannot listen on ${host}:${port}.`,
        expected: `a free port on ${host}`,
        found: cause.message,
        next: `linnet controller --http-port ${port + 10}`,
      }
      reject(new ProblemError(problem, { cause }))
    })
    server.listen(port, host, resolve)
  })
}

/** Upgraded connections (MQTT over WebSocket) are the broker's to end; they are not waited for. */
async function closeServer(server: Server, inFlight: ReadonlySet<object>): Promise<void> {
  server.close()
  server.closeIdleConnections()
  const deadlineMs = Date.now() + DRAIN_MS
  while (inFlight.size > 0 && Date.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS))
  }
  server.closeAllConnections()
}
