/**
 * ONNX models inside a Node application, without a socket in between: the same proof, validation,
 * queue, arms and counts as on a device, at the price of a function call.
 *
 *   const runtime = await createRuntime({ models: [{ model: 'faces', path: 'faces.onnx' }] })
 *   const { outputs } = await runtime.infer('faces', { input: { datatype, shape, data } })
 *
 * The files are unsigned: the application answers for them. Each is proved in a process of its own
 * before it is loaded here. Invariant: a run blocks the application's thread, as ONNX Runtime for
 * Node does, and a model that crashes in native code takes the application with it; whoever cannot
 * have that asks the model host over its socket.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { ok, ProblemError, unwrap } from '../../shared/kernel/result.ts'
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
import type { BatchChoice } from './batch-settings.ts'
import { createHostPlane, type HostPlane } from './host-plane.ts'
import type { HostModel, HostRelease } from './host-protocol.ts'
import { loadRelease } from './load-release.ts'
import { createModelRoute, type ModelRoute } from './model-route.ts'
import { qualifyInProcess } from './qualify-in-process.ts'
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
}

export interface InProcessModel extends Pick<UnsignedModel, 'model' | 'path'> {
  readonly version?: string
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
   * Errors (thrown as ProblemError): `infer.unknown_model`, `infer.invalid_input`,
   * `infer.unknown_output`, `infer.overloaded`, `infer.deadline`, `infer.cancelled`, `infer.failed`.
   */
  infer(model: string, inputs: InProcessInputs, options?: InferOptions): Promise<InferAnswer>
  /** Nothing happens before its first request. */
  stream(model: string, options?: Pick<InferOptions, 'arm' | 'key'>): InferenceStream
  models(): readonly ReleaseStatus[]
  statistics(): readonly ReleaseStatistics[]
  /** Sessions end when the last request under way is answered. */
  close(): void
}

const DEADLINE_MS_MAX = 10_000
const QUALIFY_MS_MAX = 180_000
const QUEUE_LENGTH_MAX = 256
const TEMPORARY = 'linnet-in-process-'

/** Errors (thrown as ProblemError): those of the derivation, the qualification and the load. */
export async function createRuntime(options: InProcessOptions): Promise<InProcessRuntime> {
  const folder = await mkdtemp(join(tmpdir(), TEMPORARY))
  try {
    const routes = new Map<string, ModelRoute>()
    for (const model of options.models) {
      routes.set(model.model, await bring({ version: '1.0.0', ...model }, options, folder))
    }
    const plane = createHostPlane({
      nowMs: () => performance.now(),
      deadlineMsMax: DEADLINE_MS_MAX,
      queueLengthMax: options.queueLengthMax ?? QUEUE_LENGTH_MAX,
      mark: () => undefined,
      defer: setImmediate,
      onBroke: () => undefined,
    })
    plane.swap(routes)
    return runtimeOver(plane)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function bring(
  file: UnsignedModel,
  {
    executionProviders = ['cpu'],
    threads = 1,
    inputSpec = {},
    batching = 'auto',
  }: InProcessOptions,
  folder: string,
): Promise<ModelRoute> {
  const files = new Map<string, string>()
  const artifactPath = (sha256: string) => files.get(sha256)
  const resolved = unwrap(await unsignedRelease(file, { spec: inputSpec, folder, files }))
  const profile = localProfile([...executionProviders], threads)
  const { signal } = new AbortController()
  const timeMsMax = QUALIFY_MS_MAX
  const proof = unwrap(
    await qualifyInProcess(resolved, { profile, artifactPath, timeMsMax, signal, batching }),
  )
  const release: HostRelease = {
    ...{ resolved, provider: proof.qualification.chosen, modelPath: resolve(file.path) },
    goldenPath: artifactPath(resolved.variant.golden.sha256) ?? null,
    ...proof.settings,
  }
  const model: HostModel = {
    ...{ model: file.model, current: release, candidate: null, previous: null, rollout: null },
    ...{ trafficShare: 0, shadow: 0 },
  }
  const current = await loadRelease(release)
  const route = createModelRoute({
    ...{ model, generation: 0, seed: 'in-process', current, candidate: null, previous: null },
    wallClockMs: Date.now,
  })
  // The route holds it from here on.
  current.letGo()
  return route
}

function runtimeOver(plane: HostPlane): InProcessRuntime {
  let streams = 0

  async function ask(
    model: string,
    inputs: InProcessInputs,
    { signal, ...wish }: InferOptions,
    stream?: StreamPart,
  ): Promise<InferAnswer> {
    const tensors: TensorValue[] = []
    for (const name in inputs) tensors.push({ name, ...inputs[name]! })
    const isGone = signal === undefined ? undefined : () => signal.aborted
    const arrivedAtMs = plane.nowMs()
    const request = { model, inputs: tensors, stream, arrivedAtMs, isGone, ...wish }
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
    close: () => {
      plane.swap(new Map())
      plane.flush()
    },
  }
}
