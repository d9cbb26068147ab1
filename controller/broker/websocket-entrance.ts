/**
 * MQTT over WebSocket on an HTTP server that exists already (MQTT 3.1.1 section 6): upgrades on one
 * path with subprotocol `mqtt`, binary frames only. A browser's Origin must be the server's own or
 * be listed. What is inside the frames is guarded by the connection, as on TCP.
 */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws'
import type { Connection, Connections } from './connections.ts'
import type { Tally } from './tally.ts'

export interface WebSocketOptions {
  readonly path: string
  readonly isKnownHost: (host: string) => boolean
  /** Origins besides the server's own, for example `https://console.example`. */
  readonly originsAllowed: readonly string[]
  /** A frame, or a message of many frames, longer than this closes the connection. */
  readonly frameBytesMax: number
  /** Raw bytes that may arrive before the CONNECT is accepted, frame headers included. */
  readonly unacceptedBytesMax: number
  readonly connections: Connections
  readonly tally: Tally
  /** Hands an opened connection to the broker. */
  readonly serve: (connection: Connection) => void
}

/** @returns how to detach from the server. */
export function attachWebSocket(server: Server, options: WebSocketOptions): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: options.frameBytesMax,
    perMessageDeflate: false,
    clientTracking: false,
    handleProtocols: () => 'mqtt',
  })

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {})
    if (pathOf(request) !== options.path) {
      // Another listener may know this path; alone, we must not leave the socket hanging.
      if (server.listenerCount('upgrade') === 1) answer(socket, '404 Not Found')
      return
    }
    const refusal = refusalOf(request, options)
    if (refusal !== undefined) {
      options.tally.add(refusal.code, { remoteAddress: request.socket.remoteAddress })
      answer(socket, refusal.status)
      return
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      enter(webSocket, request, socket, options)
    })
  }

  server.on('upgrade', upgrade)
  return () => server.off('upgrade', upgrade)
}

function enter(
  webSocket: WebSocket,
  request: IncomingMessage,
  socket: Duplex,
  options: WebSocketOptions,
): void {
  let connection: Connection | undefined
  // Both listeners stand before those of the stream, so that they name the reason first.
  webSocket.on('message', (_, isBinary) => {
    if (!isBinary) connection?.end('text_frame', true)
  })
  webSocket.on('error', (error) => {
    const isTooLarge = 'code' in error && error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'
    connection?.note(isTooLarge ? 'packet_too_large' : 'websocket_error', true)
    // Without an answer to the close frame, ws would keep the socket for 30 s.
    socket.destroy()
  })
  let rawBytes = 0
  const countRaw = (chunk: Buffer): void => {
    if (connection?.isAccepted !== false) {
      socket.off('data', countRaw)
      return
    }
    rawBytes += chunk.length
    if (rawBytes > options.unacceptedBytesMax) connection.end('packet_too_large', true)
  }
  const stream = createWebSocketStream(webSocket)
  connection = options.connections.open(stream, 'websocket', request.socket.remoteAddress)
  if (connection === undefined) return
  socket.on('data', countRaw)
  options.serve(connection)
}

interface UpgradeRefusal {
  readonly code: string
  readonly status: string
}

function refusalOf(
  request: IncomingMessage,
  options: WebSocketOptions,
): UpgradeRefusal | undefined {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',')
  if (!offered.some((protocol) => protocol.trim() === 'mqtt')) {
    return { code: 'websocket_protocol', status: '400 Bad Request' }
  }
  // A page that had its own name point here (DNS rebinding) has the Origin that fits its Host.
  if (!options.isKnownHost(request.headers.host ?? '')) {
    return { code: 'host_unknown', status: '421 Misdirected Request' }
  }
  if (!isOriginAllowed(request, options.originsAllowed)) {
    return { code: 'origin_refused', status: '403 Forbidden' }
  }
  if (options.connections.isFull()) {
    return { code: 'connections_max', status: '503 Service Unavailable' }
  }
  return undefined
}

/** No Origin means no browser; scripts of a foreign page cannot leave it out. */
function isOriginAllowed(request: IncomingMessage, allowed: readonly string[]): boolean {
  const { origin, host } = request.headers
  if (origin === undefined || allowed.includes(origin)) return true
  const parsed = URL.canParse(origin) ? new URL(origin) : undefined
  return parsed !== undefined && parsed.host === host
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?')[0] ?? ''
}

function answer(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
