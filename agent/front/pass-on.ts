/**
 * One request of the local API, passed on to one of the hosts and its answer back, bytes as they are.
 *
 * Invariants: every request is answered exactly once; it goes to another host only when no connection
 * to the first came about, so that none of its bytes was sent: it never runs and never counts twice; a
 * host that is lost on the way answers 503 at once; a client that leaves takes his request along.
 */
import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  request as openRequest,
  type ServerResponse,
} from 'node:http'
import { type Problem, refuse } from '../../shared/kernel/result.ts'
import { refusalAnswer } from '../serve/refusal.ts'
import type { HostTable, Passage } from './host-table.ts'
import type { RequestBody } from './request-body.ts'
import type { Session } from './session-of.ts'

export type PassOn = (exchange: PassedExchange) => void

export interface PassedExchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Path and query as the host gets them. */
  readonly target: string
  readonly body: RequestBody
  /** Bytes of the body that may follow what was read. */
  readonly bytesMax: number
  readonly session: Session | undefined
  /** How long nothing may happen, neither more of the body nor an answer, until the host is left. */
  readonly waitMs: number
}

export interface PassOnOptions {
  readonly table: HostTable
  readonly agent: Agent
}

/** Connections of one connection only: what they say is not for the other side (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade', 'expect'],
])
const CONNECTIONS_PER_HOST_MAX = 256
/** Shorter than the host's own, so that no request meets a connection that is being closed. */
const IDLE_MS_MAX = 30_000

export function createHostAgent(): Agent {
  return new Agent({
    keepAlive: true,
    maxSockets: CONNECTIONS_PER_HOST_MAX,
    maxFreeSockets: CONNECTIONS_PER_HOST_MAX,
    timeout: IDLE_MS_MAX,
    scheduling: 'lifo',
  })
}

export function createPassOn(options: PassOnOptions): PassOn {
  const { table } = options
  return (exchange) => {
    const { request, response, body, session } = exchange
    const tried = new Set<string>()
    const headers = passedHeaders(request, body)

    const attempt = (): void => {
      // Who left meanwhile needs no answer.
      const passage = response.destroyed ? undefined : table.pick({ session, except: tried })
      if (passage === undefined) {
        body.release()
        answerProblem(request, response, nothingServes())
        return
      }
      tried.add(passage.ticket.id)
      sendTo(options, passage, exchange, headers, attempt)
    }
    attempt()
  }
}

/** Sends to this host; `again` is for what it did not take. */
function sendTo(
  { table, agent }: PassOnOptions,
  passage: Passage,
  exchange: PassedExchange,
  headers: Record<string, string | string[]>,
  again: () => void,
): void {
  const { request, response, target, body, waitMs } = exchange
  let isOver = false
  let isSent = false
  const { socketPath } = passage
  const { method } = request
  const upstream = openRequest({ socketPath, agent, method, path: target, headers })
  const timer = setTimeout(() => over('left', hostSilent(waitMs)), waitMs)

  /** Ends the passage, once; then the problem is the client's answer. */
  function over(how: 'answered' | 'refused' | 'left', problem?: Problem): boolean {
    if (isOver) return false
    isOver = true
    clearTimeout(timer)
    response.off('close', leave)
    table[how](passage)
    if (problem !== undefined) {
      request.unpipe(upstream)
      upstream.destroy()
      body.release()
      answerProblem(request, response, problem)
    }
    return true
  }
  const leave = (): void => {
    if (!over('left')) return
    upstream.destroy()
    body.release()
  }
  response.on('close', leave)
  whenConnected(upstream, () => {
    if (isOver) return
    isSent = true
    // A host that stands still takes nothing of a long body either, so its client cannot go on.
    if (!body.isWhole) request.on('data', () => void (isOver || timer.refresh()))
    sendBody(upstream, exchange, (problem) => over('left', problem))
  })
  upstream.on('error', () => {
    // Nothing was sent on a connection that never was.
    if (isSent) over('refused', hostLost())
    else if (over('refused')) again()
  })
  upstream.on('response', (answer) => {
    if (isOver) return void answer.destroy()
    // A host has not answered everything while somebody still reads what it says.
    answer.once('close', table.passing(passage))
    over('answered')
    body.release()
    passBack(answer, response)
  })
}

/** Nothing of the body is taken before: what was read from the client cannot be read again. */
function whenConnected(upstream: ClientRequest, connected: () => void): void {
  upstream.on('socket', (socket) => {
    if (socket.connecting) socket.once('connect', connected)
    else connected()
  })
}

function sendBody(
  upstream: ClientRequest,
  { request, body: { chunks, isWhole }, bytesMax }: PassedExchange,
  fail: (problem: Problem) => void,
): void {
  for (const chunk of chunks) upstream.write(chunk)
  if (isWhole) {
    upstream.end()
    return
  }
  let total = chunks.reduce((sum, { length }) => sum + length, 0)
  request.on('data', (chunk: Buffer) => {
    total += chunk.length
    if (total <= bytesMax) return
    fail(
      refuse('request.too_large', 'The request is too large.', {
        expected: `at most ${bytesMax} bytes`,
        found: `more than ${bytesMax}`,
      }).error,
    )
  })
  request.pipe(upstream)
}

function passBack(answer: IncomingMessage, response: ServerResponse): void {
  if (response.destroyed) return void answer.destroy()
  const { rawHeaders } = answer
  const headers: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!HOP_BY_HOP.has(rawHeaders[i]!.toLowerCase()))
      headers.push(rawHeaders[i]!, rawHeaders[i + 1]!)
  }
  response.writeHead(answer.statusCode ?? 502, headers)
  // A client that is slow to read holds this answer, and not the host.
  answer.pipe(response)
  // Half an answer cannot be mended: the connection ends, as it would have without a front.
  answer.on('error', () => response.destroy())
  response.on('close', () => answer.destroy())
}

function passedHeaders(
  { headers }: IncomingMessage,
  { chunks, isWhole }: RequestBody,
): Record<string, string | string[]> {
  const passed: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name)) passed[name] = value
  }
  if (isWhole) passed['content-length'] = `${chunks.reduce((sum, { length }) => sum + length, 0)}`
  return passed
}

/** A body that nobody will read cannot be followed by another request on the same connection. */
export function answerProblem(
  request: IncomingMessage,
  response: ServerResponse,
  problem: Problem,
): void {
  if (response.destroyed || response.headersSent) return void response.destroy()
  if (!request.complete) response.setHeader('connection', 'close')
  request.resume()
  const { status, headers, body } = refusalAnswer(problem)
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

const nothingServes = (): Problem =>
  refuse('infer.not_ready', 'No model host takes requests; this one was not run.', {
    next: 'try again in 1 s',
  }).error

const hostLost = (): Problem =>
  refuse('infer.host_lost', 'The model host ended before it answered; the request may have run.', {
    next: 'try again in 1 s',
  }).error

const hostSilent = (waitMs: number): Problem =>
  refuse('infer.deadline', 'The model host gave no answer.', {
    expected: `an answer within ${Math.round(waitMs)} ms`,
  }).error
