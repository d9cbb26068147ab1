/** The TCP listener of the embedded broker: sockets in, nothing decided here. */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { TLS_OPTIONS, type TlsIdentity } from '../tls.ts'

/**
 * Connections that may wait to be accepted. With Node's 511, devices that come back together lose
 * their first packet and try again after 1, 3 and 7 s.
 */
const BACKLOG = 4096

export interface TcpListener {
  readonly port: number
  /** Connections from now on see this certificate. */
  renew(tls: TlsIdentity): void
  /** Resolves when the listener and every socket that came through it are closed. */
  close(): Promise<void>
}

/** @throws the listener's error, for example EADDRINUSE. */
export async function listenTcp(
  address: { readonly host: string; readonly port: number; readonly tls?: TlsIdentity },
  accept: (socket: Socket, remoteAddress: string | undefined) => void,
): Promise<TcpListener> {
  // A client may ask for no MQTT keep-alive; the system's own finds out that its machine is gone.
  const options = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }
  const { host, port: wanted, tls } = address
  const take = (socket: Socket) => accept(socket, socket.remoteAddress)
  const secure = tls && createTlsServer({ ...options, ...tls, ...TLS_OPTIONS }, take)
  // A peer that speaks no TLS is gone before there is a connection of ours; nothing to count.
  secure?.on('tlsClientError', () => {})
  const server = secure ?? createServer(options, take)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port: wanted, backlog: BACKLOG }, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    renew: (next) => secure?.setSecureContext({ ...next, ...TLS_OPTIONS }),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
