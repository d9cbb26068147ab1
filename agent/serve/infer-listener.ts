/**
 * The direct path of Node's server for `POST .../infer`, the one route where microseconds count: no
 * Request, Headers or Response objects, no router; the body is read as it comes and the answer goes
 * out in one write. Everything else, and whatever looks unusual, is left to the fetch-like API.
 *
 * Invariants: every request is answered exactly once, also when its body fails; no more than
 * `requestBytesMax` of a body is kept, whatever its sender declares, and of all bodies and unread
 * answers together no more than the ledger allows: then the slowest connection is cut.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Problem } from '../../shared/kernel/result.ts'
import type { DataPlane } from '../data-plane.ts'
import { type ByteLedger, createByteLedger, LARGE_BYTES } from './byte-ledger.ts'
import { wantedEncoding } from './compression.ts'
import { refuseForeign } from './foreign.ts'
import { answerInfer, brokenAnswer } from './infer-exchange.ts'
import type { InferenceApiOptions } from './inference-api.ts'
import { tooLarge } from './read-body.ts'
import { refusalAnswer, type WireAnswer } from './refusal.ts'

/** @returns false when the request is not for this path; nothing of it was read then. */
export type DirectListener = (request: IncomingMessage, response: ServerResponse) => boolean

/** Names as the schemas have them: whatever needs decoding goes the other way. */
const INFER_PATH = /^\/v2\/models\/([\w.-]+)(?:\/versions\/([\w.-]+))?\/infer$/
const TARGETS_MAX = 256

interface Target {
  readonly model: string
  readonly version: string | undefined
}

export function createInferListener(
  plane: DataPlane,
  { requestBytesMax, loopbackOnly, ledger = createByteLedger() }: InferenceApiOptions,
): DirectListener {
  const target = createTargets()
  return (request, response) => {
    if (request.method !== 'POST') return false
    const path = target(request.url ?? '')
    const { headers } = request
    if (path === undefined || isCompressed(headers)) return false
    const arrivedAtMs = plane.nowMs()
    const declared = headers['content-length']
    const refused =
      (loopbackOnly ? refuseForeign(headers.host, headers.origin) : undefined) ??
      (declared !== undefined && Number(declared) > requestBytesMax
        ? tooLarge(requestBytesMax, declared).error
        : undefined)
    if (refused !== undefined) {
      turnAway(request, response, refused)
      return true
    }
    const headerLength = single(headers['inference-header-content-length'])
    const limits = { bytesMax: requestBytesMax, headerLength: Number(headerLength ?? 0) }
    readWhole(request, limits, ledger, (body, problem) => {
      if (problem !== undefined) return turnAway(request, response, problem)
      const exchange = {
        model: path.model,
        version: path.version,
        body,
        arrivedAtMs,
        headerLength,
        forcedArm: single(headers['linnet-arm']),
        priority: single(headers['linnet-priority']),
        isGone: () => response.destroyed,
      }
      void answerInfer(plane, exchange)
        .catch(brokenAnswer)
        .then((answer) => {
          holdUntilRead(response, answer, ledger)
          write(response, answer)
        })
        .catch(() => response.destroy())
    })
    return true
  }
}

function isCompressed(headers: IncomingHttpHeaders): boolean {
  if (headers['content-encoding'] !== undefined) return true
  return wantedEncoding(single(headers['accept-encoding'])) !== undefined
}

/** Clients ask the same few addresses again and again. */
function createTargets(): (url: string) => Target | undefined {
  const known = new Map<string, Target>()
  return (url) => {
    const found = known.get(url)
    if (found !== undefined) return found
    const path = INFER_PATH.exec(url)
    if (path === null) return undefined
    const target = { model: path[1]!, version: path[2] }
    if (known.size >= TARGETS_MAX) known.clear()
    known.set(url, target)
    return target
  }
}

/** Calls back once: with the body, or why there is none; not at all when the client left. */
function readWhole(
  request: IncomingMessage,
  { bytesMax, headerLength }: { readonly bytesMax: number; readonly headerLength: number },
  ledger: ByteLedger,
  done: (body: Uint8Array, problem?: Problem) => void,
): void {
  const chunks: Buffer[] = []
  let total = 0
  const holder = ledger.enter(() => request.destroy())
  const keep = (chunk: Buffer): void => {
    total += chunk.length
    if (total <= bytesMax) {
      chunks.push(chunk)
      holder.add(chunk.length)
    } else {
      request.off('data', keep)
      request.off('end', end)
      holder.leave()
      done(EMPTY, tooLarge(bytesMax, `more than ${bytesMax}`).error)
    }
  }
  const end = (): void => {
    holder.leave()
    done(chunks.length === 1 ? chunks[0]! : joined(chunks, total, headerLength))
  }
  request.on('data', keep)
  request.on('end', end)
  request.once('close', holder.leave)
  // A sender that breaks off is gone; its connection is closed by the server.
  request.on('error', () => undefined)
}

/**
 * A long body in one piece, laid so that the bytes behind its JSON header begin at a multiple of
 * eight: tensors are then views into it, where they would else be copied once more.
 */
function joined(chunks: readonly Buffer[], total: number, headerLength: number): Uint8Array {
  const start = headerLength >= 0 && headerLength <= total ? -headerLength & 7 : 0
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(start + total).buffer, start)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

const EMPTY = new Uint8Array()

/** Small answers lie in the system's own buffers; a large one waits here until its client reads. */
function holdUntilRead(response: ServerResponse, { body }: WireAnswer, ledger: ByteLedger): void {
  if (body.length < LARGE_BYTES || response.destroyed) return
  const holder = ledger.enter(() => response.destroy())
  response.once('finish', holder.leave)
  response.once('close', holder.leave)
  holder.add(body.length)
}

/** A body that nobody will read cannot be followed by another request on the same connection. */
function turnAway(request: IncomingMessage, response: ServerResponse, problem: Problem): void {
  if (!request.complete) response.setHeader('connection', 'close')
  request.resume()
  write(response, refusalAnswer(problem))
}

function write(response: ServerResponse, { status, headers, body }: WireAnswer): void {
  if (response.destroyed) return
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length
  response.writeHead(status, { ...headers, 'content-length': length })
  if (typeof body === 'string' || length > ONE_WRITE_BYTES_MAX) response.end(body)
  else response.end(bytesAsText(body), 'latin1')
}

/** Up to this, copying costs less than a second piece of the write. */
const ONE_WRITE_BYTES_MAX = 65_536

/** Text is sent in one piece with the head, where bytes would be a second one. */
function bytesAsText({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
}

const single = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header
