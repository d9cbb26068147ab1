/**
 * Which release answers a request, or why none does. Everything that can refuse the sender stands
 * here, before the draw: a request that is refused belongs to no arm.
 */
import { err, ok, type Problem, type Result } from '../../../shared/kernel/result.ts'
import type { InferRequest, StreamPart } from '../../data-plane.ts'
import { outsideRanges } from './check-ranges.ts'
import type { LiveRelease } from './live-release.ts'
import type { Draw, ModelRoute, Wish } from './model-route.ts'
import { type RateLimits, rowsIn } from './rate-limit.ts'
import type { StatisticsTable } from './release-statistics.ts'
import type { StreamTable } from './stream-table.ts'
import { refuseModel, refuseVersion } from './unknown-model.ts'
import { flawOf, type InputFlaw, rangeFlaw } from './validate-inputs.ts'

export interface AdmitOptions {
  readonly limits: RateLimits
  readonly streams: Pick<StreamTable, 'pinned'>
  readonly statistics: Pick<StatisticsTable, 'refusedInput' | 'outsideRange'>
}

/**
 * Errors: `infer.unknown_model`, `infer.not_ready`, `infer.rate_limited`, those of validation and of
 * streams.
 */
export function admitRequest(
  route: ModelRoute | undefined,
  request: InferRequest,
  isLoading: boolean,
  { limits, streams, statistics }: AdmitOptions,
): Result<{ route: ModelRoute; draw: Draw }> {
  if (route === undefined) return refuseModel(request.model, isLoading)
  const pinned = goesOn(request) ? streams.pinned(request, request.stream) : undefined
  if (pinned?.ok === false) return pinned
  const live = pinned?.value.live ?? route.named(request.version) ?? route.slots.current
  const valid = checkRequest(live, request, statistics)
  if (!valid.ok) return valid
  const { manifest } = live
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

/** What is refused is counted for the release that would have answered. */
function checkRequest(
  { model, version, manifest }: LiveRelease,
  { inputs, outputs }: InferRequest,
  statistics: AdmitOptions['statistics'],
): Result<undefined> {
  const refused = ({ reason, name, problem }: InputFlaw): Result<never> => {
    statistics.refusedInput(model, version, reason, name)
    return err(problem)
  }
  const flaw = flawOf(inputs, manifest.inputs, manifest.finiteInputs)
  if (flaw !== undefined) return refused(flaw)
  const unknown = outputs?.find((name) => !manifest.outputs.some((output) => output.name === name))
  if (unknown !== undefined) {
    return refused({ reason: 'unknown_output', name: '', problem: noOutput(manifest, unknown) })
  }
  const outside = outsideRanges(inputs, manifest)
  const first = outside.find(({ range }) => range.outside === 'refuse')
  if (first !== undefined) return refused(rangeFlaw(first))
  for (const { name } of outside) statistics.outsideRange(model, version, name)
  return ok()
}

function noOutput({ outputs }: LiveRelease['manifest'], found: string): Problem {
  return {
    code: 'infer.unknown_output',
    message: 'The model has no such output.',
    expected: outputs.map(({ name }) => name).join(', '),
    found: found.slice(0, 256),
  }
}

type Streamed = InferRequest & { readonly stream: StreamPart }

const goesOn = (request: InferRequest): request is Streamed =>
  request.stream !== undefined && !request.stream.start

/** A stream that begins draws its arm as a session does, by its name. */
function asSession(request: InferRequest): Wish {
  const { stream, arm, key, version } = request
  return { arm, version, key: key ?? stream?.id }
}
