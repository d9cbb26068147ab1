/**
 * A load generator for HTTP/1.1 over keep-alive connections: each connection sends its request again
 * as soon as the answer is complete. Knows as little of HTTP as it takes (a status, a content length),
 * so that it costs less than what it measures.
 */
import { connect, type NetConnectOpts, type Socket } from 'node:net'

export interface LoadOptions {
  readonly to: NetConnectOpts
  /** A whole request, head and body. */
  readonly request: Buffer
  readonly connections: number
  readonly durationMs: number
}

export interface LoadFigures {
  readonly requestsPerS: number
  readonly msP50: number
  readonly msP99: number
  readonly answered: number
  /** Answers with a status other than 200, and connections that broke. */
  readonly failed: number
  /** Each answered request, ascending. */
  readonly timesMs: readonly number[]
  readonly tookMs: number
}

export async function load(options: LoadOptions): Promise<LoadFigures> {
  const times: number[] = []
  const startMs = performance.now()
  const endMs = startMs + options.durationMs
  const clients = Array.from({ length: options.connections }, () => client(options, endMs, times))
  const failed = (await Promise.all(clients)).reduce((sum, count) => sum + count, 0)
  const tookMs = performance.now() - startMs
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.floor(share * (times.length - 1))] ?? 0
  return {
    requestsPerS: times.length / (tookMs / 1000),
    msP50: at(0.5),
    msP99: at(0.99),
    answered: times.length,
    ...{ failed, timesMs: times, tookMs },
  }
}

/** @returns how many requests failed; times of the others are added to `times`. */
function client({ to, request }: LoadOptions, endMs: number, times: number[]): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect(to)
    socket.setNoDelay(true)
    let failed = 0
    let sentAtMs = 0
    const send = (): void => {
      sentAtMs = performance.now()
      socket.write(request)
    }
    socket.on('connect', send)
    onAnswers(socket, (status) => {
      const nowMs = performance.now()
      if (status === 200) times.push(nowMs - sentAtMs)
      else failed += 1
      if (nowMs < endMs) send()
      else socket.end()
    })
    socket.on('error', () => {
      failed += 1
    })
    socket.on('close', () => resolve(failed))
  })
}

export function onAnswers(socket: Socket, answered: (status: number) => void): void {
  let head = ''
  let status = 0
  /** Bytes of the body that are still to come; negative: in the head. */
  let missing = -1
  socket.on('data', (chunk: Buffer) => {
    if (missing < 0) {
      const text = head + chunk.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) {
        head = text
        return
      }
      status = Number(text.slice(9, 12))
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, end + 2))?.[1] ?? 0)
      missing = length - (text.length - end - 4)
      head = ''
    } else missing -= chunk.length
    if (missing > 0) return
    missing = -1
    answered(status)
  })
}

/** A POST with this body, ready to be sent. */
export function post(path: string, body: Uint8Array, headers: Record<string, string>): Buffer {
  const lines = Object.entries({ host: 'localhost', ...headers, 'content-length': body.length })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${head}\r\n`), body])
}
