/**
 * What the front does with a request: refuse what comes from a foreign page, answer what concerns all
 * hosts, pass on the rest. Nothing of a tensor is read or changed here.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { ok, type Result, refuse, toProblem } from '../../shared/kernel/result.ts'
import { refuseForeign } from '../serve/foreign.ts'
import type { DirectListener } from '../serve/infer-listener.ts'
import { tooLarge } from '../serve/read-body.ts'
import type { WireAnswer } from '../serve/refusal.ts'
import type { Question } from './ask-host.ts'
import type { Gather } from './gather.ts'
import { type BodyInflater, createBodyInflater } from './inflate-body.ts'
import { answerProblem, type PassOn } from './pass-on.ts'
import { createBodyReader, type RequestBody } from './request-body.ts'
import { parametersOf, timeoutMsOf } from './request-parameters.ts'
import { targetOf } from './request-target.ts'
import { modelSession, sessionOf } from './session-of.ts'

export interface FrontListenerOptions {
  readonly gather: Gather
  readonly passOn: PassOn
  readonly requestBytesMax: number
  /** The longest that a host gives a request to infer; see `FrontOptions`. */
  readonly deadlineMsMax: number
  readonly answerMsMax: number
  /** Whether one host answers all requests of this model. */
  readonly isPinned: (model: string) => boolean
}

/** What a question to all hosts may bring along. */
const QUESTION_BYTES_MAX = 65_536
/** A host that turns its loop says by itself, in this time, that a deadline is over. */
const DEADLINE_SLACK_MS = 500
const INFER = /^\/v2\/models\/([^/]+)\/(?:versions\/[^/]+\/)?infer$/

export function createFrontListener(options: FrontListenerOptions): DirectListener {
  const { gather, passOn, isPinned, deadlineMsMax, answerMsMax } = options
  const bytesMax = options.requestBytesMax
  const bodies = createBodyReader(bytesMax)
  const inflater = createBodyInflater(bytesMax)
  return (request, response) => {
    const { headers, method = 'GET', url = '/' } = request
    const declared = headers['content-length']
    const refused =
      refuseForeign(headers.host, headers.origin) ??
      (declared !== undefined && Number(declared) > bytesMax
        ? tooLarge(bytesMax, declared).error
        : undefined)
    if (refused !== undefined) {
      answerProblem(request, response, refused)
      return true
    }
    const target = targetOf(url)
    if (!target.ok) {
      answerProblem(request, response, target.error)
      return true
    }
    const { path, query } = target.value
    const exchange = { request, response, target: path + query, bytesMax }
    const model = method === 'POST' ? INFER.exec(path)?.[1] : undefined
    const isInfer = model !== undefined
    const headBytes = isInfer ? headLength(headers['inference-header-content-length']) : undefined
    const encoding = headers['content-encoding']?.toLowerCase()
    // Where the JSON part ends is not to be seen in a compressed body.
    bodies.read(request, encoding === undefined ? headBytes : undefined, (read) => {
      if (!read.ok) return answerProblem(request, response, read.error)
      const body = read.value
      if (isInfer) {
        plainBytes(body, encoding, inflater, (inflated) => {
          if (!inflated.ok) {
            body.release()
            return answerProblem(request, response, inflated.error)
          }
          const plain = inflated.value
          const json = headBytes === undefined ? plain : plain.subarray(0, headBytes)
          const parameters = parametersOf(json)
          const session = isPinned(model) ? modelSession(model) : sessionOf(parameters)
          const deadlineMs = Math.min(timeoutMsOf(parameters), deadlineMsMax)
          const waitMs = Math.min(deadlineMs + DEADLINE_SLACK_MS, answerMsMax)
          passOn({ ...exchange, body, session, waitMs })
        })
        return
      }
      const answer = gather.answer(questionOf(request, path, body))
      if (answer === undefined) {
        return passOn({ ...exchange, body, session: undefined, waitMs: answerMsMax })
      }
      body.release()
      void answer
        .then((told) => write(response, told))
        .catch((cause: unknown) => answerProblem(request, response, broken(cause)))
    })
    return true
  }
}

function questionOf(request: IncomingMessage, path: string, { chunks }: RequestBody): Question {
  const { method = 'GET', headers } = request
  const body = Buffer.concat(chunks).subarray(0, QUESTION_BYTES_MAX + 1)
  const passed = ['content-type', 'content-encoding', 'authorization'].flatMap((name) => {
    const value = headers[name]
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  return { method, path, headers: Object.fromEntries(passed), body }
}

/** What cannot be read belongs to no session; the host says what is wrong with it. */
function plainBytes(
  { chunks }: RequestBody,
  encoding: string | undefined,
  inflater: BodyInflater,
  done: (plain: Result<Buffer>) => void,
): void {
  const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
  if (encoding === undefined) done(ok(body))
  else inflater.inflate(body, encoding, done)
}

/** What is no length is the host's to refuse. */
function headLength(header: string | string[] | undefined): number | undefined {
  const length = Number(header)
  return header !== undefined && Number.isInteger(length) && length >= 0 ? length : undefined
}

function write(response: ServerResponse, { status, headers, body }: WireAnswer): void {
  if (response.destroyed) return
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length
  response.writeHead(status, { ...headers, 'content-length': length })
  response.end(body)
}

function broken(cause: unknown) {
  return refuse('infer.failed', 'The request failed in front of the model hosts.', {
    found: toProblem(cause, 'infer.failed').message.slice(0, 300),
  }).error
}
