/**
 * Who stands between a device and its controller's HTTP server: passes everything on, and gives out
 * the files that he is told to at one byte a second.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Between {
  readonly url: string
  /** Ends of the paths of slow files. */
  readonly slow: Set<string>
  /** Paths that were asked for, in order. */
  readonly asked: readonly string[]
  close(): Promise<void>
}

export async function standBetween(controller: string): Promise<Between> {
  const slow = new Set<string>()
  const asked: string[] = []
  const server = createServer((question, answer) => {
    const path = question.url ?? ''
    asked.push(path)
    const isSlow = [...slow].some((end) => path.endsWith(end))
    passOn(controller, question, answer, isSlow ? drip : (from, to) => void from.pipe(to))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    ...{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, slow, asked },
    close: () =>
      new Promise((closed) => {
        server.closeAllConnections()
        server.close(() => closed())
      }),
  }
}

function passOn(
  controller: string,
  question: IncomingMessage,
  answer: ServerResponse,
  give: (from: IncomingMessage, to: ServerResponse) => void,
): void {
  const { method, headers } = question
  const asked = request(`${controller}${question.url}`, { method, headers }, (reply) => {
    answer.writeHead(reply.statusCode ?? 502, reply.headers)
    give(reply, answer)
  })
  asked.on('error', () => answer.destroy())
  question.pipe(asked)
}

function drip(from: IncomingMessage, to: ServerResponse): void {
  const bytes: number[] = []
  from.on('data', (chunk: Buffer) => void bytes.push(...chunk))
  const timer = setInterval(() => {
    const byte = bytes.shift()
    if (byte !== undefined) to.write(Uint8Array.of(byte))
  }, 1_000)
  to.on('close', () => clearInterval(timer))
}
