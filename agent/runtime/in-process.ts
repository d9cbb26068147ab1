/**
 * ONNX models inside a Node application: the same proof, validation, queue, arms and counts as on a
 * device.
 *
 *   const runtime = await createRuntime({ models: [{ model: 'faces', path: 'faces.onnx' }] })
 *   const { outputs } = await runtime.infer('faces', { input: { datatype, shape, data } })
 *
 * The files are unsigned: the application answers for them. Each is proved in a process of its own
 * before it is served. Models run in a model host, a child process, so that neither a crash nor a
 * hang in native code reaches the application. With `inline: true` they run in the application's own
 * process at the price of a function call; then a run blocks its thread, as ONNX Runtime for Node
 * does, and inputs on which native code crashes (the least integer divided by -1) end the application.
 */
import { rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { ok, ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { goldenTensor } from '../../shared/model/golden-compare.ts'
import type { InputSpec } from '../../shared/model/input-spec.ts'
import type { ExecutionProvider } from '../../shared/model/profile.ts'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import type { Arm } from '../../shared/protocol/messages.ts'
import type {
  InferAnswer,
  Priority,
  ReleaseStatistics,
  ReleaseStatus,
  StreamPart,
} from '../data-plane.ts'
import type { ResolvedRelease } from '../ports.ts'
import { makeTemporaryFolder } from '../temporary-folder.ts'
import type { AskedPlane, AskedRequest, EngineOptions } from './application-engine.ts'
import type { BatchChoice } from './batch-settings.ts'
import { inferOptionProblem, optionProblem } from './in-process-options.ts'
import { createInlineEngine } from './inline-engine.ts'
import { createIsolatedEngine } from './isolated-engine.ts'
import { localProfile, type UnsignedModel, unsignedRelease } from './unsigned-release.ts'

export interface InProcessOptions {
  readonly models: readonly InProcessModel[]
  /** In order of preference; default cpu. */
  readonly executionProviders?: readonly ExecutionProvider[]
  /** Most threads for one run; default 1. */
  readonly threads?: number
  /** How to make trial inputs where a model needs more than its types tell. */
  readonly inputSpec?: InputSpec
  /** Requests that may wait; default 256. */
  readonly queueLengthMax?: number
  /** Requests that wait run together where that is proved to pay; default auto. */
  readonly batching?: BatchChoice
  /** Models run in this very process; default: in a child process. */
  readonly inline?: boolean
  /** Told what was not proved, and why a model host ended; default: `process.emitWarning`. */
  readonly onNotice?: (text: string) => void
}

export interface InProcessModel extends Pick<UnsignedModel, 'model' | 'path'> {
  readonly version?: string
  /**
   * Inputs on which the model is proved; absent: ONNX test data beside the file (test_data_set_0), or
   * inputs that are made up.
   */
  readonly trials?: readonly InProcessInputs[]
}

/** Tensors by name; data in the array type of its datatype, row-major. */
export type InProcessInputs = Readonly<Record<string, Omit<TensorValue, 'name'>>>

export interface InferOptions {
  /** Aborted while the request waits, it is not run; a run that has begun cannot be stopped. */
  readonly signal?: AbortSignal
  /** From the call to the answer; default and most: 10 s. */
  readonly deadlineMs?: number
  readonly arm?: Arm
  readonly key?: string
  /** `high` waits less long; default normal. */
  readonly priority?: Priority
  readonly outputs?: readonly string[]
}

/** Requests that keep the version and the arm of the first one until the last, also across a swap. */
export interface InferenceStream {
  /**
   * Errors: those of a request, and `stream.version_gone` when its release had to leave, for example
   * because the local guard stopped it: the state in the application's hands belongs to that one.
   * @param options.isLast ends the stream; one that is not ended does so after a minute of silence.
   */
  infer(
    inputs: InProcessInputs,
    options?: Omit<InferOptions, 'arm' | 'key'> & { readonly isLast?: boolean },
  ): Promise<InferAnswer>
}

export interface InProcessRuntime {
  /**
   * Errors (thrown as ProblemError): `runtime.invalid_option`, `infer.unknown_model`,
   * `infer.invalid_input`, `infer.unknown_output`, `infer.overloaded`, `infer.deadline`, `infer.cancelled`, `infer.failed`,
   * and in a child process `infer.host_died`, `infer.not_ready`.
   */
  infer(model: string, inputs: InProcessInputs, options?: InferOptions): Promise<InferAnswer>
  /** Nothing happens before its first request. */
  stream(model: string, options?: Pick<InferOptions, 'arm' | 'key'>): InferenceStream
  models(): readonly ReleaseStatus[]
  statistics(): readonly ReleaseStatistics[]
  /** Requests under way are answered; until then a child process keeps the application running. */
  close(): Promise<void>
}

const QUEUE_LENGTH_MAX = 256
const TEMPORARY = 'linnet-in-process-'

/**
 * Errors (thrown as ProblemError): `runtime.invalid_option`, those of the derivation, the qualification
 * and the load.
 */
export async function createRuntime(options: InProcessOptions): Promise<InProcessRuntime> {
  const invalid = optionProblem(options)
  if (invalid !== undefined) throw new ProblemError(invalid)
  const { executionProviders = ['cpu'], threads = 1, batching = 'auto', inline = false } = options
  const { queueLengthMax = QUEUE_LENGTH_MAX, onNotice: say = warn } = options
  const folder = await makeTemporaryFolder(TEMPORARY)
  const files = new Map<string, string>()
  const profile = localProfile([...executionProviders], threads)
  const parts = { profile, batching, queueLengthMax, folder, files, say }
  const engine = inline ? createInlineEngine(parts) : createIsolatedEngine(parts)
  const close = async (): Promise<void> => {
    await engine.close()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    for (const model of options.models) {
      const release = await describe(model, options.inputSpec ?? {}, { folder, files, say })
      await engine.bring(release, resolve(model.path))
    }
    return runtimeOver(await engine.start(), close)
  } catch (cause) {
    await close()
    throw cause
  }
}

/** What a device gets signed: tensors and vectors of the file. Errors (thrown): `unsignedRelease`'s. */
async function describe(
  { model, path, version = '1.0.0', trials }: InProcessModel,
  spec: InputSpec,
  { folder, files, say }: Pick<EngineOptions, 'folder' | 'say'> & { files: Map<string, string> },
): Promise<ResolvedRelease> {
  const given = trials?.map((inputs) => ({
    inputs: tensorsOf(inputs).map(goldenTensor),
    outputs: [],
  }))
  const tell = (text: string): void => say(`${model}: ${text}`)
  const options = { spec, folder, files, trials: given, say: tell }
  return unwrap(await unsignedRelease({ model, path, version }, options))
}

function warn(text: string): void {
  process.emitWarning(text, 'LinnetNotice')
}

function tensorsOf(inputs: InProcessInputs): TensorValue[] {
  const tensors: TensorValue[] = []
  for (const name in inputs) {
    const { datatype, shape, data } = inputs[name]!
    tensors.push({ name, datatype, shape, data })
  }
  return tensors
}

function runtimeOver(plane: AskedPlane, close: () => Promise<void>): InProcessRuntime {
  let streams = 0

  async function ask(
    model: string,
    inputs: InProcessInputs,
    options: InferOptions,
    stream?: StreamPart,
  ): Promise<InferAnswer> {
    const invalid = inferOptionProblem(options)
    if (invalid !== undefined) throw new ProblemError(invalid)
    const { signal, deadlineMs, arm, key, priority, outputs } = options
    const isGone = signal === undefined ? undefined : () => signal.aborted
    const arrivedAtMs = plane.nowMs()
    // Spelled out: on the way of every request, copying fields from objects is felt.
    const request: AskedRequest = {
      model,
      inputs: tensorsOf(inputs),
      outputs,
      stream,
      arrivedAtMs,
      isGone,
      signal,
      deadlineMs,
      arm,
      key,
      priority,
    }
    const answer = await plane.infer(request, ok<InferAnswer>)
    if (answer.ok) return answer.value
    throw new ProblemError(answer.error)
  }

  return {
    models: plane.releases,
    statistics: plane.statistics,
    infer: (model, inputs, options = {}) => ask(model, inputs, options),
    stream(model, fixed = {}) {
      streams += 1
      const id = `in-process-${streams}`
      let start = true
      return {
        async infer(inputs, { isLast = false, ...options } = {}) {
          const part = { id, start, end: isLast }
          const answer = await ask(model, inputs, { ...options, ...fixed }, part)
          start = false
          return answer
        },
      }
    },
    close,
  }
}
