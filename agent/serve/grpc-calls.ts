/**
 * The methods of `GRPCInferenceService` over the data plane, and of the standard health service: bytes
 * of a message in, bytes of a message or a refusal out. Knows nothing of HTTP/2. Source: Open
 * Inference Protocol v2 "gRPC" and Triton's extensions of it.
 */
import {
  describeProblem,
  ok,
  type Problem,
  type Result,
  refuse,
} from '../../shared/kernel/result.ts'
import { isSameVersion } from '../../shared/model/names.ts'
import type { DataPlane, ReleaseStatus } from '../data-plane.ts'
import { refuseUnknown } from '../runtime/plane/unknown-model.ts'
import { withClasses } from './classification.ts'
import * as answers from './grpc-answer.ts'
import { modelConfigResponse, modelStatisticsResponse } from './grpc-model-answer.ts'
import { decodeGrpcInfer } from './grpc-request.ts'
import {
  decodeChange,
  decodeHealthRequest,
  decodeIndexRequest,
  decodeModelName,
  readIdentity,
} from './grpc-requests.ts'
import { refuseRegion } from './infer-decode.ts'
import { modelMetadata, modelStatistics, serverMetadata, statisticsRows } from './metadata.ts'
import { modelConfig } from './model-config.ts'
import {
  decodeOverrides,
  type ModelRepository,
  repositoryIndex,
  toldBatchSizeMax,
} from './model-repository.ts'
import { statusOf } from './refusal.ts'

export interface GrpcTarget {
  readonly plane: DataPlane
  readonly repository: ModelRepository
  readonly serverName?: string | undefined
}

export interface GrpcCall {
  readonly message: Uint8Array
  /** From `grpc-timeout`. */
  readonly deadlineMs: number | undefined
  /** `plane.nowMs()` when the call's head was read. */
  readonly arrivedAtMs: number
  readonly token: string | undefined
  readonly isGone: () => boolean
}

type Answer = Result<Uint8Array> | Promise<Result<Uint8Array>>
type Method = (target: GrpcTarget, call: GrpcCall) => Answer

const INFERENCE: Readonly<Record<string, Method>> = {
  ServerLive: () => ok(answers.boolResponse(true)),
  ServerReady: ({ plane }) => ok(answers.boolResponse(plane.ready())),
  ServerMetadata: ({ serverName }) =>
    ok(answers.serverMetadataResponse(serverMetadata(serverName))),
  ModelReady({ plane }, { message }) {
    const asked = decodeModelName(message)
    return asked.ok ? ok(answers.boolResponse(find(plane, asked.value).length > 0)) : asked
  },
  ModelMetadata: (target, call) =>
    about(target, call, (found) => answers.modelMetadataResponse(modelMetadata(found))),
  ModelConfig: (target, call) =>
    about(target, call, ([first]) => {
      const batchSizeMax = toldBatchSizeMax(target.repository, first!.model)
      return modelConfigResponse(modelConfig(first!, batchSizeMax))
    }),
  ModelStatistics: statistics,
  ModelInfer: ({ plane }, call) => infer(plane, call, false),
  RepositoryIndex({ plane, repository }, { message }) {
    const asked = decodeIndexRequest(message)
    if (!asked.ok) return asked
    const index = repositoryIndex(plane.releases(), repository.entries(), asked.value)
    return ok(answers.repositoryIndexResponse(index))
  },
  RepositoryModelLoad: (target, call) => change(target, call, 'load'),
  RepositoryModelUnload: (target, call) => change(target, call, 'unload'),
  ...sharedMemory('System'),
  ...sharedMemory('Cuda'),
}

/** There are no regions, so a list of them is empty and all of them are unregistered. */
function sharedMemory(kind: 'System' | 'Cuda'): Readonly<Record<string, Method>> {
  return {
    [`${kind}SharedMemoryStatus`]: () => ok(new Uint8Array()),
    [`${kind}SharedMemoryUnregister`]: () => ok(new Uint8Array()),
    [`${kind}SharedMemoryRegister`]: refuseRegion,
  }
}

const INFERENCE_SERVICE = 'inference.GRPCInferenceService'
/** `HealthCheckResponse.ServingStatus`. */
const SERVING = 1
const NOT_SERVING = 2

/** grpc.health.v1. */
const HEALTH: Readonly<Record<string, Method>> = {
  Check({ plane }, { message }) {
    const service = decodeHealthRequest(message)
    if (!service.ok) return service
    if (service.value === '' || service.value === INFERENCE_SERVICE) {
      return ok(Uint8Array.of(8, plane.ready() ? SERVING : NOT_SERVING))
    }
    return refuse('health.unknown_service', 'There is no such service.', {
      expected: INFERENCE_SERVICE,
      found: service.value.slice(0, 100),
    })
  },
}

const SERVICES: Readonly<Record<string, Readonly<Record<string, Method>>>> = {
  [INFERENCE_SERVICE]: INFERENCE,
  'grpc.health.v1.Health': HEALTH,
}

/** @param path of the HTTP/2 request. Errors: those of the data plane, `request.unknown_route`. */
export function callMethod(target: GrpcTarget, path: string, call: GrpcCall): Answer {
  const [, service = '', name = ''] = path.split('/')
  const methods = Object.hasOwn(SERVICES, service) ? SERVICES[service] : undefined
  const method = methods !== undefined && Object.hasOwn(methods, name) ? methods[name] : undefined
  if (method !== undefined) return method(target, call)
  return refuse('request.unknown_route', 'There is no such method.', { found: path.slice(0, 200) })
}

/** A method that answers each message of a stream; it never refuses the stream itself. */
type StreamedMethod = (target: GrpcTarget, call: GrpcCall) => Promise<Uint8Array>

export function streamedMethod(path: string): StreamedMethod | undefined {
  return path === `/${INFERENCE_SERVICE}/ModelStreamInfer` ? inferStreamed : undefined
}

async function inferStreamed({ plane }: GrpcTarget, call: GrpcCall): Promise<Uint8Array> {
  const answered = await infer(plane, call, true)
  if (answered.ok) return answers.streamResponse('', answered.value)
  // Clients of a stream find by its id which of their requests failed.
  const { model, id } = readIdentity(call.message)
  const told = answers.refusedResponse(model, id)
  return answers.streamResponse(describeProblem(answered.error), told)
}

/** @param streamed tells clients that expect many answers that this was the last. */
async function infer(
  plane: DataPlane,
  { message, deadlineMs = Infinity, arrivedAtMs, isGone }: GrpcCall,
  streamed: boolean,
): Promise<Result<Uint8Array>> {
  const decoded = decodeGrpcInfer(message)
  if (!decoded.ok) return decoded
  const { classes, ...request } = decoded.value
  const leastMs = Math.min(deadlineMs, request.deadlineMs ?? Infinity)
  const timed = { deadlineMs: leastMs === Infinity ? undefined : leastMs, arrivedAtMs, isGone }
  return plane.infer({ ...request, ...timed }, (answer) => {
    const told = withClasses(answer, classes, plane)
    return told.ok ? ok(answers.inferResponse(told.value, request.id, streamed)) : told
  })
}

function statistics({ plane }: GrpcTarget, { message }: GrpcCall): Result<Uint8Array> {
  const asked = decodeModelName(message)
  if (!asked.ok) return asked
  const { name, version } = asked.value
  const rows = statisticsRows(plane).filter(
    (row) =>
      (name === '' || row.model === name) &&
      (version === '' || isSameVersion(version, row.version)),
  )
  if (rows.length === 0 && name !== '') return refuseUnknown(plane, asked.value)
  return ok(modelStatisticsResponse(modelStatistics(rows)))
}

async function change(
  { repository }: GrpcTarget,
  { message, token }: GrpcCall,
  action: 'load' | 'unload',
): Promise<Result<Uint8Array>> {
  const asked = decodeChange(message)
  if (!asked.ok) return asked
  const { model, parameters } = asked.value
  const overrides = decodeOverrides({ action, model }, parameters)
  if (!overrides.ok) return overrides
  const changed = await repository.change({ action, model, ...overrides.value, token })
  return changed.ok ? ok(new Uint8Array()) : changed
}

function about(
  { plane }: GrpcTarget,
  { message }: GrpcCall,
  tell: (found: readonly ReleaseStatus[]) => Uint8Array,
): Result<Uint8Array> {
  const asked = decodeModelName(message)
  if (!asked.ok) return asked
  const found = find(plane, asked.value)
  return found.length > 0 ? ok(tell(found)) : refuseUnknown(plane, asked.value)
}

function find(
  plane: DataPlane,
  { name, version }: { readonly name: string; readonly version: string },
): readonly ReleaseStatus[] {
  const fits = (release: ReleaseStatus): boolean =>
    release.model === name && (version === '' || isSameVersion(version, release.version))
  return plane.releases().filter(fits)
}

/** HTTP status -> gRPC status code (grpc.io, "Status codes and their use in gRPC"). */
const GRPC_STATUSES: Readonly<Record<number, number>> = {
  400: 3,
  403: 7,
  404: 5,
  409: 9,
  410: 9,
  413: 8,
  415: 12,
  429: 8,
  499: 1,
  503: 14,
  504: 4,
}
const UNIMPLEMENTED = 12
const INTERNAL = 13

export function grpcStatusOf(problem: Problem): number {
  if (problem.code === 'request.unknown_route') return UNIMPLEMENTED
  return GRPC_STATUSES[statusOf(problem)] ?? INTERNAL
}
