/**
 * The data plane of a model host that is another process, for an application that asks it over its
 * socket: the Open Inference Protocol v2 with binary tensors both ways, on a few kept connections.
 * Invariants: every request is answered once, also when the host dies under it; its deadline counts
 * from the call, also while it waits here, and no answer comes after it. Statistics are those of this
 * application: what it asked and how long it waited.
 */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import { type RowAxis, rowAxisOf, rowsAlong } from '../../shared/model/batch.ts'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import type { ErrorKind } from '../../shared/sketch/window.ts'
import type { InferAnswer, InferRequest, ReleaseStatus } from '../data-plane.ts'
import { bytesFromElements, elementsFromBytes } from '../serve/binary-tensor.ts'
import type { AskedPlane, AskedRequest } from './application-engine.ts'
import { createConnectionLine, refuseCancelled, refuseExpired } from './connection-line.ts'
import { createStatisticsTable } from './plane/release-statistics.ts'
import { refuseModel } from './plane/unknown-model.ts'

export interface RemotePlane extends AskedPlane {
  close(): void
}

export interface RemoteOptions {
  readonly address:
    | { readonly socketPath: string }
    | { readonly host: string; readonly port: number }
  readonly releases: () => readonly ReleaseStatus[]
  /** Requests under way at a time; the others wait here. */
  readonly connectionsMax: number
  /** Requests that wait here, beside those under way; one more is refused. */
  readonly waitingMax: number
  /** A request's deadline where it names none, and the most it may ask for. */
  readonly deadlineMsMax: number
}

const ANSWER_BYTES_MAX = 2 ** 30

export function createRemotePlane(options: RemoteOptions): RemotePlane {
  const agent = new Agent({ keepAlive: true, maxSockets: options.connectionsMax })
  const { connectionsMax, waitingMax, deadlineMsMax } = options
  const line = createConnectionLine(connectionsMax, waitingMax)
  const statistics = createStatisticsTable()
  const nowMs = (): number => performance.now()

  async function ask(request: AskedRequest): Promise<Result<InferAnswer>> {
    const { model, arrivedAtMs, deadlineMs = deadlineMsMax, priority, signal } = request
    if (request.isGone?.()) return refuseCancelled()
    const deadlineAtMs = arrivedAtMs + Math.min(deadlineMs, deadlineMsMax)
    const entered = await line.enter({ priority, leftMs: deadlineAtMs - nowMs(), signal })
    if (!entered.ok) return entered
    try {
      const leftMs = deadlineAtMs - nowMs()
      if (signal?.aborted) return refuseCancelled()
      if (leftMs <= 0) return refuseExpired()
      const { headers, parts } = encodeRequest(request, leftMs)
      const to = { ...options.address, agent, path: `/v2/models/${model}/infer`, headers }
      const reply = await exchange(to, parts, { signal, leftMs })
      const answer = reply.ok ? decodeAnswer(reply.value) : reply
      // The answer may have come while this thread was busy with something else.
      return answer.ok && nowMs() > deadlineAtMs ? refuseExpired() : answer
    } finally {
      entered.value()
    }
  }

  return {
    nowMs,
    releases: options.releases,
    statistics: () => statistics.all(),
    async infer(request, encode) {
      if (!options.releases().some(({ model }) => model === request.model)) {
        return refuseModel(request.model, false)
      }
      const answered = await ask(request)
      const result = answered.ok ? encode(answered.value) : answered
      const kind = result.ok ? undefined : errorKind(result.error)
      // A refusal of the request itself is the sender's and no release's.
      if (kind !== 'sender') {
        const version = answered.ok ? answered.value.version : versionOf(options, request.model)
        const latencyMs = { total: nowMs() - request.arrivedAtMs }
        const rows = rowsAlong(rowAxisOfModel(options, request.model), request.inputs)
        const run = answered.ok ? { rows, runRows: rows, leads: true } : undefined
        statistics.record(request.model, version, { error: kind, latencyMs }, run)
      }
      return result
    },
    close: () => agent.destroy(),
  }
}

const versionOf = ({ releases }: RemoteOptions, model: string): string =>
  releases().find((release) => release.model === model)?.version ?? ''

function rowAxisOfModel({ releases }: RemoteOptions, model: string): RowAxis | undefined {
  const release = releases().find((each) => each.model === model)
  return release && rowAxisOf(release)
}

function errorKind({ code }: Problem): ErrorKind | 'sender' {
  switch (code) {
    case 'infer.host_died':
      return 'crashed'
    case 'infer.deadline':
      return 'timeout'
    case 'infer.cancelled':
      return 'cancelled'
    case 'infer.overloaded':
    case 'infer.not_ready':
      return 'overloaded'
    case 'infer.failed':
      return 'internal'
    default:
      return 'sender'
  }
}

/** @param leftMs until the deadline: the host counts from when the request comes there. */
function encodeRequest(request: InferRequest, leftMs: number) {
  const { inputs, outputs, id, key, arm, priority, stream } = request
  const bytes = inputs.map(bytesFromElements)
  const parameters = {
    binary_data_output: true,
    ...(key === undefined ? {} : { key }),
    ...(arm === undefined ? {} : { 'linnet-arm': arm }),
    timeout: Math.max(1, Math.round(leftMs * 1000)),
    ...(stream === undefined
      ? {}
      : { sequence_id: stream.id, sequence_start: stream.start, sequence_end: stream.end }),
  }
  const header = utf8(
    JSON.stringify({
      ...(id === undefined ? {} : { id }),
      inputs: inputs.map(({ name, datatype, shape }, i) => ({
        ...{ name, datatype, shape },
        parameters: { binary_data_size: bytes[i]!.length },
      })),
      ...(outputs === undefined ? {} : { outputs: outputs.map((name) => ({ name })) }),
      parameters,
    }),
  )
  const headers: Record<string, string> = {
    'content-type': 'application/octet-stream',
    'content-length': String(bytes.reduce((sum, part) => sum + part.length, header.length)),
    'inference-header-content-length': String(header.length),
    ...(priority === undefined ? {} : { 'linnet-priority': priority }),
  }
  return { headers, parts: [header, ...bytes] }
}

interface WireReply {
  readonly status: number
  readonly code: string | undefined
  readonly headerLength: number | undefined
  readonly body: Buffer
}

function exchange(
  options: Parameters<typeof httpRequest>[1] & object,
  parts: readonly Uint8Array[],
  { signal, leftMs }: Pick<AskedRequest, 'signal'> & { readonly leftMs: number },
): Promise<Result<WireReply>> {
  return new Promise((resolve) => {
    const sent = httpRequest({ ...options, method: 'POST' })
    const giveUp = (result: Result<never>): void => {
      settle(result)
      // Who closes the connection is not waited for: the host drops what has not begun.
      sent.destroy()
    }
    const onAbort = (): void => giveUp(refuseCancelled())
    const timer = setTimeout(() => giveUp(refuseExpired()), leftMs)
    const settle = (result: Result<WireReply>): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      resolve(result)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    sent.on('error', (cause: NodeJS.ErrnoException) => settle(lost(cause)))
    sent.once('response', (response) => readReply(response, settle))
    for (const part of parts) sent.write(part)
    sent.end()
  })
}

function readReply(response: IncomingMessage, settle: (result: Result<WireReply>) => void): void {
  const chunks: Buffer[] = []
  let total = 0
  response.on('data', (chunk: Buffer) => {
    total += chunk.length
    if (total <= ANSWER_BYTES_MAX) chunks.push(chunk)
    else response.destroy(new Error('the answer is too large'))
  })
  response.on('error', (cause) => settle(lost(cause)))
  response.once('close', () => settle(lost(new Error('the connection ended'))))
  response.once('end', () => {
    const length = response.headers['inference-header-content-length']
    const code = response.headers['linnet-code']
    settle(
      ok({
        status: response.statusCode ?? 0,
        code: typeof code === 'string' ? code : undefined,
        headerLength: length === undefined ? undefined : Number(length),
        body: Buffer.concat(chunks, total),
      }),
    )
  })
}

interface AnswerHeader {
  readonly model_name: string
  readonly model_version: string
  readonly parameters: Pick<InferAnswer, 'arm' | 'variant' | 'provider'>
  readonly outputs: readonly (Omit<TensorValue, 'data'> & {
    readonly parameters: { readonly binary_data_size: number }
  })[]
}

/** The host is our own: its answer is read as the protocol says, its numbers still checked. */
function decodeAnswer({ status, code, headerLength, body }: WireReply): Result<InferAnswer> {
  const header = JSON.parse(body.toString('utf8', 0, headerLength ?? body.length))
  if (status !== 200) {
    const message = String(header.error ?? `The model host answered ${status}.`)
    return refuse(code ?? 'infer.failed', message)
  }
  const { model_name, model_version, parameters, outputs }: AnswerHeader = header
  const tensors: TensorValue[] = []
  let at = headerLength ?? body.length
  for (const { name, datatype, shape, parameters: own } of outputs) {
    const end = at + own.binary_data_size
    const count = shape.reduce((product, size) => product * size, 1)
    const data = elementsFromBytes(name, datatype, body.subarray(at, end), count)
    if (!data.ok) return data
    tensors.push({ name, datatype, shape, data: data.value })
    at = end
  }
  const { arm, variant, provider } = parameters
  return ok({ model: model_name, version: model_version, variant, arm, provider, outputs: tensors })
}

/** Nothing listens while a host that died is replaced; a broken connection is one that died now. */
function lost({ code, message }: NodeJS.ErrnoException): Result<never> {
  if (code === 'ECONNREFUSED' || code === 'ENOENT') {
    return refuse('infer.not_ready', 'The model host is starting again.', {
      next: 'try again in 1 s',
    })
  }
  return refuse('infer.host_died', 'The model host ended while it had this request.', {
    found: code ?? message,
    next: 'it starts again by itself; do not repeat a request that ends it each time',
  })
}
