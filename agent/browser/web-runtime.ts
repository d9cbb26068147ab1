/**
 * The `Runtime` of a browser: models run in a worker, candidates are proved in workers of their own,
 * and this object keeps both in line from the page, as node-runtime.ts does on Node.
 *
 * Invariants: no model code runs on the page's thread; the plan survives the worker, so one that dies
 * is replaced and told again; every `serve` resolves; requests under way at a death are refused at once.
 */
import { ok, type Problem } from '../../shared/kernel/result.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type {
  ResolvedRelease,
  Runtime,
  RuntimeEvent,
  ServedRelease,
  ServePlan,
  SmallFiles,
} from '../ports.ts'
import { createPlanKeeper } from '../runtime/host/plan-keeper.ts'
import { disguiseInterval, secureUint32 } from '../runtime/plane/disguise-interval.ts'
import { createIntervalMerge } from '../runtime/plane/interval-merge.ts'
import { type QualifyOptions, qualifyRelease } from '../runtime/qualify/qualify-release.ts'
import { createLocalRequests, type LocalFetch } from './local-requests.ts'
import { proveInWorker, type ReadArtifact } from './web-qualifier.ts'
import { openWebSettings, type WebSettings } from './web-settings.ts'
import { WorkerHosts } from './worker-hosts.ts'
import type { EngineChoice } from './worker-protocol.ts'

export interface WebRuntimeOptions {
  readonly device: string
  readonly boot: string
  readonly profile: FirmwareProfile
  /** `threads` are the most that a release may be proved and run with. */
  readonly engine: EngineChoice
  /** Why `engine.gpu` is false. */
  readonly gpuMissing: string
  /** runtime-worker-main.js, with the files of ONNX Runtime Web beside it. */
  readonly script: URL
  readonly readArtifact: ReadArtifact
  readonly settings: SmallFiles
  /** Told after each attempt of a qualification. */
  readonly onAttempt?: QualifyOptions['onAttempt']
  readonly limits?: Partial<WebRuntimeLimits>
}

export interface WebRuntimeLimits {
  readonly deadlineMsMax: number
  /** A run that blocks the worker longer is a hang: the worker is ended. */
  readonly hangMs: number
  readonly loadMsMax: number
  /** For one attempt. */
  readonly qualifyMsMax: number
  readonly queueLengthMax: number
  readonly requestBytesMax: number
  /** Counts of at most this long are lost when the worker dies. */
  readonly flushMs: number
}

const LIMITS: WebRuntimeLimits = {
  deadlineMsMax: 10_000,
  hangMs: 15_000,
  loadMsMax: 120_000,
  qualifyMsMax: 90_000,
  queueLengthMax: 256,
  requestBytesMax: 64 * 1024 * 1024,
  flushMs: 500,
}
const INTERVAL_CHECK_MS = 250
const HOST_GONE: Problem = {
  code: 'infer.not_ready',
  message: 'The model host ended while it had this request.',
  next: 'try again in 1 s',
}

export interface WebRuntime extends Runtime {
  /** The local API (Open Inference Protocol v2). */
  readonly fetch: LocalFetch
  /** Ends the worker and starts another, for example after the GPU was lost. */
  restartHost(): void
}

export async function createWebRuntime(options: WebRuntimeOptions): Promise<WebRuntime> {
  const limits = { ...LIMITS, ...options.limits }
  const settings = await openWebSettings(options.settings)
  const artifactPath = (sha256: string): string => sha256
  const handlers: ((event: RuntimeEvent) => void)[] = []
  const emit = (event: RuntimeEvent): void => {
    for (const handler of handlers) handler(event)
  }
  const uint32 = secureUint32()
  const intervals = createIntervalMerge(
    () => keeper.plan().windowMs,
    (interval) => emit({ kind: 'interval', interval: disguiseInterval(interval, uint32) }),
  )
  const keeper = createPlanKeeper({
    artifactPath,
    send: (plan) => host.sendPlan(plan),
    emit,
    addInterval: intervals.add,
  })
  const requests = createLocalRequests((message, moved) => host.send(message, moved))
  const { deadlineMsMax, queueLengthMax, requestBytesMax, flushMs, hangMs, loadMsMax } = limits
  const { device, boot, script, readArtifact } = options
  const host = new WorkerHosts({
    host: { device, boot, deadlineMsMax, queueLengthMax, requestBytesMax, flushMs },
    ...{ script, readArtifact, hangMs, loadMsMax, gpu: options.engine.gpu },
    drainMs: deadlineMsMax,
    onReady: () => keeper.tell((plan) => host.sendPlan(plan)),
    onLost: (ids) => requests.fail(ids, HOST_GONE),
    onExit: keeper.onExit,
    onMessage: (message) => {
      if (message.kind === 'counted') intervals.add(message.interval)
      else if (message.kind === 'served') keeper.onServed(message.planId, message.outcome)
      else if (message.kind === 'broke') keeper.condemn(message.sha256, message.problem)
      else if (message.kind === 'response') requests.answered(message.id, message.response)
    },
  })
  const timer = setInterval(() => intervals.close(Date.now()), INTERVAL_CHECK_MS)

  async function qualify(release: ResolvedRelease, signal: AbortSignal) {
    const admitted = keeper.admit(release)
    if (!admitted.ok) return admitted
    const { profile, onAttempt } = options
    const proof = await qualifyRelease(release, {
      profile,
      artifactPath,
      prove: (task) => proveInWorker(task, { ...options, timeMsMax: limits.qualifyMsMax, signal }),
      choose: 'fastest',
      batching: 'auto',
      ...(onAttempt && { onAttempt }),
    })
    if (!proof.ok) return proof
    await settings.put(release, proof.value.settings)
    return ok(proof.value.qualification)
  }

  return {
    qualify,
    serve: (plan) => keeper.serve(withSettings(plan, settings.get)),
    fetch: requests.fetch,
    restartHost: () => host.restart(),
    onEvent: (handler) => void handlers.push(handler),
    async close() {
      clearInterval(timer)
      await host.close()
      intervals.close(Date.now(), true)
      keeper.close()
    },
  }
}

function withSettings(plan: ServePlan, of: WebSettings['get']): ServePlan {
  const one = (served: ServedRelease | null): ServedRelease | null =>
    served && { ...served, settings: of(served.resolved) }
  const models = plan.models.map((model) => ({
    ...model,
    current: one(model.current),
    candidate: one(model.candidate),
    previous: one(model.previous),
  }))
  return { ...plan, models }
}
