/**
 * The methods of `GRPCInferenceService` over the data plane: bytes of a message in, bytes of a message
 * or a refusal out. Knows nothing of HTTP/2. Source: Open Inference Protocol v2 "gRPC".
 */
import { ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import { isSameVersion } from '../../shared/model/names.ts'
import type { DataPlane, ReleaseStatus } from '../data-plane.ts'
import * as answers from './grpc-answer.ts'
import { decodeGrpcInfer, decodeModelName } from './grpc-request.ts'
import { modelMetadata, serverMetadata } from './metadata.ts'
import { repositoryIndex } from './model-repository.ts'
import { statusOf } from './refusal.ts'

export interface GrpcCall {
  readonly message: Uint8Array
  /** From `grpc-timeout`. */
  readonly deadlineMs: number | undefined
  /** `plane.nowMs()` when the call's head was read. */
  readonly arrivedAtMs: number
  readonly isGone: () => boolean
}

type Method = (plane: DataPlane, call: GrpcCall) => Result<Uint8Array> | Promise<Result<Uint8Array>>

const METHODS: Readonly<Record<string, Method>> = {
  ServerLive: () => ok(answers.boolResponse(true)),
  ServerReady: (plane) => ok(answers.boolResponse(plane.ready())),
  ServerMetadata: () => ok(answers.serverMetadataResponse(serverMetadata())),
  RepositoryIndex: (plane) =>
    ok(answers.repositoryIndexResponse(repositoryIndex(plane.releases(), [], false))),
  ModelReady(plane, { message }) {
    const found = find(plane, message)
    return found.ok ? ok(answers.boolResponse(found.value.length > 0)) : found
  },
  ModelMetadata(plane, { message }) {
    const found = find(plane, message)
    if (!found.ok) return found
    if (found.value.length > 0) {
      return ok(answers.modelMetadataResponse(modelMetadata(found.value)))
    }
    return refuse('infer.unknown_model', 'No such model is served here.')
  },
  ModelInfer: infer,
}

const SERVICE = '/inference.GRPCInferenceService/'

/** @param path of the HTTP/2 request. Errors: those of the data plane, `request.unknown_route`. */
export function callMethod(
  plane: DataPlane,
  path: string,
  call: GrpcCall,
): Result<Uint8Array> | Promise<Result<Uint8Array>> {
  const name = path.startsWith(SERVICE) ? path.slice(SERVICE.length) : ''
  const method = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined
  if (method !== undefined) return method(plane, call)
  return refuse('request.unknown_route', 'There is no such method.', { found: path.slice(0, 200) })
}

async function infer(plane: DataPlane, call: GrpcCall): Promise<Result<Uint8Array>> {
  const request = decodeGrpcInfer(call.message)
  if (!request.ok) return request
  const { deadlineMs, arrivedAtMs, isGone } = call
  return plane.infer({ ...request.value, deadlineMs, arrivedAtMs, isGone }, (answer) =>
    ok(answers.inferResponse(answer, request.value.id)),
  )
}

function find(plane: DataPlane, message: Uint8Array): Result<readonly ReleaseStatus[]> {
  const asked = decodeModelName(message)
  if (!asked.ok) return asked
  const { name, version } = asked.value
  const fits = (release: ReleaseStatus): boolean =>
    release.model === name && (version === '' || isSameVersion(version, release.version))
  return ok(plane.releases().filter(fits))
}

/** HTTP status -> gRPC status code (grpc.io, "Status codes and their use in gRPC"). */
const GRPC_STATUSES: Readonly<Record<number, number>> = {
  400: 3,
  403: 7,
  404: 5,
  409: 9,
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
