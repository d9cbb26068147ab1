/**
 * The `Runtime` of a browser: models run in a worker, candidates are proved in workers of their own,
 * and this object keeps both in line from the page, as node-runtime.ts does on Node.
 *
 * Invariants: no model code runs on the page's thread; the plan survives the worker, so one that dies
 * is replaced and told again; every `serve` resolves; requests under way at a death are refused at once.
 */
import type { Problem } from '../../shared/kernel/result.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type { Signer } from '../../shared/signing/keys.ts'
import type { ResolvedRelease, Runtime, RuntimeEvent, SmallFiles } from '../ports.ts'
import { createPlanKeeper } from '../runtime/host/plan-keeper.ts'
import { disguiseInterval, secureUint32 } from '../runtime/plane/disguise-interval.ts'
import { createIntervalMerge } from '../runtime/plane/interval-merge.ts'
import { createAssuredServe } from '../runtime/qualify/assured-serve.ts'
import type { Surroundings } from '../runtime/qualify/qualification-record.ts'
import { type QualifyOptions, qualifyRelease } from '../runtime/qualify/qualify-release.ts'
import { createLocalRequests, type LocalFetch } from './local-requests.ts'
import { createWebProofs } from './web-proofs.ts'
import { proveInWorker, type ReadArtifact } from './web-qualifier.ts'
import { WorkerHosts } from './worker-hosts.ts'
import type { EngineChoice } from './worker-protocol.ts'

export interface WebRuntimeOptions {
  readonly device: string
  readonly boot: string
  readonly profile: FirmwareProfile
  /** `threads` are the most that a release may be proved and run with. */
  readonly engine: EngineChoice
  /** Why there is no webgpu here; empty where there is. */
  readonly gpuMissing: string
  /** runtime-worker-main.js, with the files of ONNX Runtime Web beside it. */
  readonly script: URL
  readonly readArtifact: ReadArtifact
  /** Where records of proofs are kept. */
  readonly proofs: SmallFiles
  /** The device's: these records are kept over visits, and every release must have one. */
  readonly signer?: Signer | undefined
  /** What a proof holds for, beside the release, the profile and the threads. */
  readonly surroundings: Omit<Surroundings, 'profile'>
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

export function createWebRuntime(options: WebRuntimeOptions): WebRuntime {
  const limits = { ...LIMITS, ...options.limits }
  const artifactPath = (sha256: string): string => sha256
  const handlers: ((event: RuntimeEvent) => void)[] = []
  const emit = (event: RuntimeEvent): void => {
    for (const handler of handlers) handler(event)
  }
  const { profile, onAttempt } = options
  const proofs = createWebProofs({
    ...{ files: options.proofs, signer: options.signer },
    surroundings: { ...options.surroundings, profile: withThreads(profile, options.engine) },
    prove: (release, signal) =>
      qualifyRelease(release, {
        ...{ profile, artifactPath, choose: 'fastest', batching: 'auto' },
        prove: (task) =>
          proveInWorker(task, { ...options, timeMsMax: limits.qualifyMsMax, signal }),
        ...(onAttempt && { onAttempt }),
      }),
    onProvedAgain: (qualification, problem) =>
      emit({ kind: 'provedAgain', qualification, problem }),
  })
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
  const timer = setInterval(() => intervals.close(), INTERVAL_CHECK_MS)

  return {
    async qualify(release: ResolvedRelease, signal: AbortSignal) {
      const admitted = keeper.admit(release)
      return admitted.ok ? proofs.qualify(release, signal) : admitted
    },
    serve: createAssuredServe(proofs.assure, keeper.serve),
    fetch: requests.fetch,
    restartHost: () => host.restart(),
    onEvent: (handler) => void handlers.push(handler),
    async close() {
      clearInterval(timer)
      proofs.close()
      await host.close()
      intervals.close(true)
      keeper.close()
    },
  }
}

/** What was found for other threads, as in a page that is isolated now and was not, does not hold. */
function withThreads(profile: FirmwareProfile, { threads }: EngineChoice): FirmwareProfile {
  return { ...profile, limits: { ...profile.limits, threadsMax: threads } }
}
