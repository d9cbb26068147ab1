/**
 * A client of the local API for page code, in the shapes of the Open Inference Protocol v2, with
 * tensors as typed arrays (binary tensor data extension). It speaks to anything like `fetch`: the
 * model host's worker in the browser, or a server.
 */
import { concatBytes, toHex, utf8 } from '../../shared/kernel/bytes.ts'
import { err, ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import type { Arm } from '../../shared/protocol/messages.ts'
import type { StreamPart } from '../data-plane.ts'
import { refuseCancelled } from '../runtime/connection-line.ts'
import type { InferOptions as CommonOptions } from '../runtime/in-process.ts'
import { inferOptionProblem } from '../runtime/in-process-options.ts'
import { bytesFromElements, elementsFromBytes } from '../serve/binary-tensor.ts'
import type { LocalFetch } from './local-requests.ts'

/** Those of an application in Node, and what it may ask of a device. */
export interface InferOptions extends CommonOptions {
  readonly version?: string
  /** Names the request for feedback. */
  readonly id?: string
}

export interface Inference {
  readonly model: string
  readonly version: string
  readonly arm: Arm
  readonly variant: string
  readonly provider: string
  readonly outputs: readonly TensorValue[]
}

export interface InferenceStream {
  /** @param options.isLast ends the stream; otherwise it ends after a minute of silence. */
  infer(
    inputs: readonly TensorValue[],
    options?: Omit<InferOptions, 'arm' | 'key' | 'version'> & { readonly isLast?: boolean },
  ): Promise<Result<Inference>>
}

export interface InferenceClient {
  ready(model: string): Promise<boolean>
  /**
   * Errors: the protocol's refusals by their code; `runtime.invalid_option`, `infer.cancelled`,
   * `client.malformed`.
   */
  infer(
    model: string,
    inputs: readonly TensorValue[],
    options?: InferOptions,
  ): Promise<Result<Inference>>
  /**
   * Requests that keep the version and the arm of the first one until the last, also across a swap;
   * nothing happens before the first. Further errors: `stream.unknown`, `stream.version_gone`,
   * `stream.too_many`.
   */
  stream(model: string, options?: Pick<InferOptions, 'arm' | 'key'>): InferenceStream
  /** The truth about an earlier request; a class name or index. */
  feedback(model: string, id: string, label: string | number): Promise<boolean>
}

export function createInferenceClient(fetchLocal: LocalFetch): InferenceClient {
  async function ask(
    model: string,
    inputs: readonly TensorValue[],
    options: InferOptions,
    stream?: StreamPart,
  ): Promise<Result<Inference>> {
    const invalid = inferOptionProblem(options)
    if (invalid !== undefined) return err(invalid)
    const { header, body } = encodeRequest(inputs, options, stream)
    const { version, arm, priority, signal } = options
    const path = version === undefined ? `models/${model}` : `models/${model}/versions/${version}`
    const init = {
      method: 'POST',
      headers: {
        'content-type': 'application/octet-stream',
        'inference-header-content-length': String(header.length),
        ...(arm === undefined ? {} : { 'linnet-arm': arm }),
        ...(priority === undefined ? {} : { 'linnet-priority': priority }),
      },
      body,
      ...(signal && { signal }),
    }
    try {
      const response = await fetchLocal(`/v2/${path}/infer`, init)
      return response.ok ? await decodeAnswer(response) : await refusalOf(response)
    } catch (cause) {
      if (signal?.aborted) return refuseCancelled()
      throw cause
    }
  }

  return {
    ready: async (model) => (await fetchLocal(`/v2/models/${model}/ready`)).ok,
    infer: (model, inputs, options = {}) => ask(model, inputs, options),
    stream(model, fixed = {}) {
      const id = randomName()
      let start = true
      return {
        async infer(inputs, { isLast = false, ...options } = {}) {
          const part = { id, start, end: isLast }
          const answer = await ask(model, inputs, { ...options, ...fixed }, part)
          start &&= !answer.ok
          return answer
        },
      }
    },
    async feedback(model, id, label) {
      const body = JSON.stringify({ id, label })
      return (await fetchLocal(`/v2/models/${model}/feedback`, { method: 'POST', body })).ok
    },
  }
}

/** Pages share one model host: names of streams must not meet. */
function randomName(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)))
}

function encodeRequest(
  inputs: readonly TensorValue[],
  { id, deadlineMs, key, outputs }: InferOptions,
  stream: StreamPart | undefined,
) {
  const bytes = inputs.map(bytesFromElements)
  const header = utf8(
    JSON.stringify({
      ...(id === undefined ? {} : { id }),
      inputs: inputs.map(({ name, datatype, shape }, i) => ({
        ...{ name, datatype, shape },
        parameters: { binary_data_size: bytes[i]!.length },
      })),
      ...(outputs === undefined ? {} : { outputs: outputs.map((name) => ({ name })) }),
      parameters: {
        binary_data_output: true,
        ...(stream === undefined ? {} : sequence(stream)),
        ...(key === undefined ? {} : { key }),
        ...(deadlineMs === undefined ? {} : { timeout: microseconds(deadlineMs) }),
      },
    }),
  )
  return { header, body: concatBytes(header, ...bytes) as Uint8Array<ArrayBuffer> }
}

/** Zero would mean none in the protocol; 2^53 microseconds are 285 years. */
const microseconds = (ms: number): number =>
  Math.min(Number.MAX_SAFE_INTEGER, Math.max(1, Math.round(ms * 1000)))

const sequence = ({ id, start, end }: StreamPart) => ({
  sequence_id: id,
  sequence_start: start,
  sequence_end: end,
})

interface AnswerHeader {
  readonly model_name: string
  readonly model_version: string
  readonly parameters: { readonly arm: Arm; readonly variant: string; readonly provider: string }
  readonly outputs: readonly (Omit<TensorValue, 'data'> & {
    readonly parameters: { readonly binary_data_size: number }
  })[]
}

/** The host is our own: its answer is read as the protocol says, its numbers still checked. */
async function decodeAnswer(response: Response): Promise<Result<Inference>> {
  const bytes = new Uint8Array(await response.arrayBuffer())
  const length = Number(response.headers.get('inference-header-content-length') ?? bytes.length)
  const text = new TextDecoder().decode(bytes.subarray(0, length))
  const answer = JSON.parse(text) as AnswerHeader
  const outputs: TensorValue[] = []
  let at = length
  for (const { name, datatype, shape, parameters } of answer.outputs) {
    const end = at + parameters.binary_data_size
    const count = shape.reduce((product, size) => product * size, 1)
    const data = elementsFromBytes(name, datatype, bytes.subarray(at, end), count)
    if (!data.ok) return refuse('client.malformed', `Output ${name} cannot be read.`)
    outputs.push({ name, datatype, shape, data: data.value })
    at = end
  }
  const { model_name: model, model_version: version } = answer
  return ok({ model, version, ...answer.parameters, outputs })
}

async function refusalOf(response: Response): Promise<Result<never>> {
  const json = (await response.json().catch(() => ({}))) as { error?: string }
  const code = response.headers.get('linnet-code') ?? 'client.refused'
  return refuse(code, json.error ?? `The model host answered ${response.status}.`)
}
