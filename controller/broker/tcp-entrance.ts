/** The TCP listener of the embedded broker: sockets in, nothing decided here. */
import { type AddressInfo, createServer, type Socket } from 'node:net'

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
  const server = createServer({ noDelay: true }, (socket) => accept(socket, socket.remoteAddress))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(address.port, address.host, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
