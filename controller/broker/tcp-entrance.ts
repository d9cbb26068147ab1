/** The TCP listener of the embedded broker: sockets in, nothing decided here. */
import { type AddressInfo, createServer, type Socket } from 'node:net'

/**
 * Connections that may wait to be accepted. With Node's 511, devices that come back together lose
 * their first packet and try again after 1, 3 and 7 s.
 */
const BACKLOG = 4096

export interface TcpListener {
  readonly port: number
  /** Resolves when the listener and every socket that came through it are closed. */
  close(): Promise<void>
}

/** @throws the listener's error, for example EADDRINUSE. */
export async function listenTcp(
  address: { readonly host: string; readonly port: number },
  accept: (socket: Socket, remoteAddress: string | undefined) => void,
): Promise<TcpListener> {
  // A client may ask for no MQTT keep-alive; the system's own finds out that its machine is gone.
  const options = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }
  const server = createServer(options, (socket) => accept(socket, socket.remoteAddress))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...address, backlog: BACKLOG }, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
