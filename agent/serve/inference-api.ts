/**
 * The local API: Open Inference Protocol v2 over HTTP, with the binary tensor data extension, the
 * repository index and statistics in Triton's form, labels (`feedback`) and Prometheus metrics.
 * Knows nothing of how models run (agent/data-plane.ts). Triton's and KServe's clients work with it.
 * Source: Open Inference Protocol v2 "HTTP/REST"; Triton extensions binary_data, statistics,
 * model_repository.
 */
import { type Context, Hono } from 'hono'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { refuse } from '../../shared/kernel/result.ts'
import { isSameVersion } from '../../shared/model/names.ts'
import type { DataPlane, ReleaseStatus } from '../data-plane.ts'
import { refuseUnknown } from '../runtime/plane/unknown-model.ts'
import { type ByteLedger, type Holder, LARGE_BYTES } from './byte-ledger.ts'
import { deflating, wantedEncoding } from './compression.ts'
import { refuseForeign } from './foreign.ts'
import { answerInfer } from './infer-exchange.ts'
import { modelMetadata, modelStatistics, serverMetadata, statisticsRows } from './metadata.ts'
import { METRICS_TYPE, type Metric, metricsText } from './metrics.ts'
import { modelConfig } from './model-config.ts'
import { CLOSED_REPOSITORY, type ModelRepository, toldBatchSizeMax } from './model-repository.ts'
import { readBody } from './read-body.ts'
import { refusalResponse } from './refusal.ts'
import { addRepositoryRoutes } from './repository-routes.ts'
import { addTritonRoutes } from './triton-routes.ts'

export interface InferenceApiOptions {
  readonly requestBytesMax: number
  /** Refuses foreign Host and Origin headers, as a web page in a browser would send. */
  readonly loopbackOnly: boolean
  /** Of this process; absent: one of its own. */
  readonly ledger?: ByteLedger
  /** Absent: nothing beside what the plane serves, and closed to commands. */
  readonly repository?: ModelRepository
  /** In the metadata of the server; absent: linnet. */
  readonly serverName?: string | undefined
  /** What the host tells of itself beside its requests, at each scrape. */
  readonly metrics?: () => readonly Metric[]
}

const FEEDBACK_BYTES_MAX = 65_536

/**
 * `isGone` tells whether the client has left since; a request of his that waits is not run. `enter`
 * counts the bytes that are held for his connection, until it is closed or its answer is written.
 */
export type InferenceApi = (
  request: Request,
  isGone?: () => boolean,
  enter?: () => Holder,
) => Response | Promise<Response>

interface Env {
  readonly Bindings: {
    readonly isGone?: (() => boolean) | undefined
    readonly enter?: (() => Holder) | undefined
  }
}

export function createInferenceApi(plane: DataPlane, options: InferenceApiOptions): InferenceApi {
  const api = createRoutes(plane, options)
  // Not a middleware: composing one costs a tenth of a small request.
  return (request, isGone, enter) => {
    if (options.loopbackOnly) {
      const host = request.headers.get('host')
      const refused = refuseForeign(host, request.headers.get('origin'))
      if (refused !== undefined) return refusalResponse(refused)
    }
    return api.fetch(request, { isGone, enter })
  }
}

function createRoutes(plane: DataPlane, options: InferenceApiOptions): Hono<Env> {
  const { requestBytesMax, repository = CLOSED_REPOSITORY } = options
  const api = new Hono<Env>()
  api.get('/v2', (context) => context.json(serverMetadata(options.serverName)))
  api.get('/v2/health/live', (context) => context.json({ live: true }))
  api.get('/v2/health/ready', (context) => readiness(context, plane.ready()))
  addRepositoryRoutes(api, plane, repository)
  api.get('/v2/models/stats', (context) => context.json(modelStatistics(statisticsRows(plane))))
  api.get('/metrics', (context) => {
    const text = metricsText(plane, options.metrics?.())
    return context.body(text, 200, { 'content-type': METRICS_TYPE })
  })
  for (const path of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    api.get(path, (context) => {
      const found = find(plane, context)
      return found.length === 0 ? noModel(plane, context) : context.json(modelMetadata(found))
    })
    api.get(`${path}/config`, (context) => {
      const [first] = find(plane, context)
      if (first === undefined) return noModel(plane, context)
      return context.json(modelConfig(first, toldBatchSizeMax(repository, first.model)))
    })
    api.get(`${path}/ready`, (context) => readiness(context, find(plane, context).length > 0))
    api.get(`${path}/stats`, (context) => {
      const found = find(plane, context)
      if (found.length === 0) return noModel(plane, context)
      const versions = new Set(found.map(({ version }) => version))
      const model = found[0]?.model
      const rows = statisticsRows(plane).filter((r) => r.model === model && versions.has(r.version))
      return context.json(modelStatistics(rows))
    })
    api.post(`${path}/infer`, (context) => infer(plane, requestBytesMax, context))
  }
  api.post('/v2/models/:model/feedback', (context) => feedback(plane, context))
  addTritonRoutes(api)
  api.notFound((context) =>
    refusalOf('request.unknown_route', 'There is no such route.', {
      found: `${context.req.method} ${context.req.path}`.slice(0, 200),
      next: 'see GET /v2 for the protocol and its extensions',
    }),
  )
  api.onError((cause) =>
    refusalOf('infer.failed', 'The request failed inside the model host.', {
      found: cause.message.slice(0, 300),
    }),
  )
  return api
}

async function infer(plane: DataPlane, bytesMax: number, context: Context<Env>): Promise<Response> {
  const arrivedAtMs = plane.nowMs()
  const { req } = context
  const body = await readBody(req.raw, bytesMax, context.env.enter?.())
  if (!body.ok) return refusalResponse(body.error)
  const { model = '', version } = req.param()
  const {
    status,
    headers,
    body: encoded,
  } = await answerInfer(plane, {
    ...{ model, version, arrivedAtMs, body: body.value },
    headerLength: req.header('inference-header-content-length'),
    forcedArm: req.header('linnet-arm'),
    priority: req.header('linnet-priority'),
    isGone: context.env.isGone,
  })
  if (encoded.length >= LARGE_BYTES) context.env.enter?.().add(encoded.length)
  return compressed(new Response(encoded, { status, headers }), req.header('accept-encoding'))
}

function compressed(answer: Response, accepted: string | undefined): Response {
  const encoding = wantedEncoding(accepted)
  if (encoding === undefined || answer.body === null) return answer
  const headers = { ...Object.fromEntries(answer.headers), 'content-encoding': encoding }
  return new Response(deflating(answer.body, encoding), { status: answer.status, headers })
}

async function feedback(plane: DataPlane, context: Context): Promise<Response> {
  const body = await readBody(context.req.raw, FEEDBACK_BYTES_MAX)
  if (!body.ok) return refusalResponse(body.error)
  const fields = parseJson(body.value)
  const { id, label } = fields
  if (typeof id !== 'string' || (typeof label !== 'string' && typeof label !== 'number')) {
    return refusalOf('request.malformed', 'This is no feedback.', {
      expected: '{ "id": of the request, "label": class name or index }',
      found: JSON.stringify(fields).slice(0, 120),
    })
  }
  const joined = plane.feedback(context.req.param('model') ?? '', id, label)
  return joined.ok ? context.json(joined.value) : refusalResponse(joined.error)
}

function parseJson(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(fromUtf8(bytes) ?? '')
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
  } catch {
    return {}
  }
}

function find(plane: DataPlane, context: Context): readonly ReleaseStatus[] {
  const { model, version } = context.req.param()
  return plane
    .releases()
    .filter((r) => r.model === model && (!version || isSameVersion(version, r.version)))
}

function noModel(plane: DataPlane, context: Context): Response {
  const { model: name = '', version } = context.req.param()
  return refusalResponse(refuseUnknown(plane, { name, version }).error)
}

/** Health routes answer by status: 200, or 503 where the protocol says "4xx/5xx". */
function readiness(context: Context, isReady: boolean): Response {
  return context.json({ ready: isReady }, isReady ? 200 : 503)
}

function refusalOf(...args: Parameters<typeof refuse>): Response {
  return refusalResponse(refuse(...args).error)
}
