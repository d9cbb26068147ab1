/**
 * Which release answers a request, or why none does. Everything that can refuse the sender stands
 * here, before the draw: a request that is refused belongs to no arm.
 */
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { InferRequest, StreamPart } from '../../data-plane.ts'
import type { Draw, ModelRoute, Wish } from './model-route.ts'
import { type RateLimits, rowsIn } from './rate-limit.ts'
import type { StreamTable } from './stream-table.ts'
import { refuseModel, refuseVersion } from './unknown-model.ts'
import { validateInputs } from './validate-inputs.ts'

export interface AdmitOptions {
  readonly limits: RateLimits
  readonly streams: Pick<StreamTable, 'pinned'>
}

/**
 * Errors: `infer.unknown_model`, `infer.not_ready`, `infer.rate_limited`, those of validation and of
 * streams.
 */
export function admitRequest(
  route: ModelRoute | undefined,
  request: InferRequest,
  isLoading: boolean,
  { limits, streams }: AdmitOptions,
): Result<{ route: ModelRoute; draw: Draw }> {
  if (route === undefined) return refuseModel(request.model, isLoading)
  const pinned = goesOn(request) ? streams.pinned(request, request.stream) : undefined
  if (pinned?.ok === false) return pinned
  const { manifest } = pinned?.value.live ?? route.named(request.version) ?? route.slots.current
  const valid = validateInputs(request.inputs, manifest.inputs, manifest.finiteInputs)
  if (!valid.ok) return valid
  const unknown = request.outputs?.find(
    (name) => !manifest.outputs.some((output) => output.name === name),
  )
  if (unknown !== undefined) {
    return refuse('infer.unknown_output', 'The model has no such output.', {
      expected: manifest.outputs.map(({ name }) => name).join(', '),
      found: unknown.slice(0, 256),
    })
  }
  // Before the draw, and only for what would be answered: no arm, and nothing taken in vain.
  const isServed = pinned !== undefined || route.named(request.version) !== undefined
  const { rate } = route.slots
  if (rate !== undefined && isServed) {
    const within = limits.take(request.model, rate, rowsIn(manifest.inputs, request.inputs))
    if (!within.ok) return within
  }
  const draw = pinned?.value ?? route.draw(request.stream ? asSession(request) : request)
  if (draw !== undefined) return ok({ route, draw })
  const served = route.slots.answering().map(({ version }) => version)
  return refuseVersion(request.model, request.version ?? '', served)
}

type Streamed = InferRequest & { readonly stream: StreamPart }

const goesOn = (request: InferRequest): request is Streamed =>
  request.stream !== undefined && !request.stream.start

/** A stream that begins draws its arm as a session does, by its name. */
function asSession(request: InferRequest): Wish {
  const { stream, arm, key, version } = request
  return { arm, version, key: key ?? stream?.id }
}
