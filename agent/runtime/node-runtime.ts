/**
 * The `Runtime` of a Node device: models run in a model host, candidates are proved in a qualifier,
 * and this object keeps both in line from the agent's process.
 *
 * Invariants: no model code runs in this process; the plan survives the host, so a host that dies is
 * replaced and told again; every `serve` resolves. When the host dies, requests under way end with a
 * reset connection at once, and new ones find a closed port for about half a second: local clients
 * retry on ECONNREFUSED and ECONNRESET.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { err, type Result, toProblem } from '../../shared/kernel/result.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'
import type { ResolvedRelease, Runtime, RuntimeEvent } from '../ports.ts'
import {
  CLOSED_REPOSITORY,
  type ModelRepository,
  type RepositoryEntry,
} from '../serve/model-repository.ts'
import type { BatchChoice } from './batch-settings.ts'
import type { Drawing, HostPlan, ToHost } from './host/host-protocol.ts'
import type { HostAddress, HostNews } from './host/host-supervisor.ts'
import { createModelHosts, type HostSharing } from './host/model-hosts.ts'
import { createPlanKeeper } from './host/plan-keeper.ts'
import type { ResidenceChange } from './host/residency.ts'
import { capThreads, usableCores } from './host/usable-cores.ts'
import { disguiseInterval, secureUint32 } from './plane/disguise-interval.ts'
import { createIntervalMerge } from './plane/interval-merge.ts'
import { createAssuredServe } from './qualify/assured-serve.ts'
import { driverName, machineName, runtimeVersion } from './qualify/machine.ts'
import { createProofKeeper, type ProofKeeper } from './qualify/proof-keeper.ts'
import { createRecordStore } from './qualify/record-store.ts'

export interface NodeRuntimeOptions {
  readonly device: string
  readonly boot: string
  readonly profile: FirmwareProfile
  /** For the run mark and the qualification settings; made if missing. */
  readonly directory: string
  readonly artifactPath: (sha256: string) => string | undefined
  /** Absent: artifacts lie there as they are. */
  readonly artifactKey?: Uint8Array | undefined
  /** The device's: qualification records are kept over restarts, and every release must have one. */
  readonly signer?: SyncSigner | undefined
  /** Loopback; port 0 takes a free one and keeps it over restarts of the host. */
  readonly listen: { readonly host: string; readonly port: number } | null
  readonly socketPath: string | null
  /** Loopback as well; absent: no gRPC. */
  readonly grpc?: { readonly host: string; readonly port: number } | null
  /** Several hosts behind a front; absent: one, which listens itself. No gRPC with several. */
  readonly sharing?: HostSharing | null
  readonly limits?: Partial<RuntimeLimits>
  /** Default: auto. */
  readonly batching?: BatchChoice
  /** A release may follow one with other tensors; for development. */
  readonly anyMayFollow?: boolean
  /** Sessions idle for so long leave the memory until they are asked; absent: never. */
  readonly idleUnloadMs?: number
  /** Told what left the memory and came back, and why. */
  readonly onResidence?: (change: ResidenceChange) => void
  /** Told how requests are drawn, whenever a plan with a candidate comes into force in a host. */
  readonly onDrawing?: (drawing: Drawing) => void
  /** Answers the repository API; absent: it is closed. */
  readonly repository?: Repository
  /** What the local API calls itself; absent: linnet. */
  readonly serverName?: string
}

type Repository = Pick<ModelRepository, 'change'>

export interface RuntimeLimits {
  /** A request's deadline where it names none, and the most it may ask for. */
  readonly deadlineMsMax: number
  /** A run that blocks the host longer is a hang: the host is killed. */
  readonly hangMs: number
  readonly loadMsMax: number
  readonly qualifyMsMax: number
  /** Time to look for faster settings, beyond the proof; 0: none. */
  readonly tuningMs: number
  readonly queueLengthMax: number
  readonly requestBytesMax: number
  /** Counts of at most this long are lost when the host dies. */
  readonly flushMs: number
}

const LIMITS: RuntimeLimits = {
  deadlineMsMax: 10_000,
  hangMs: 15_000,
  loadMsMax: 120_000,
  qualifyMsMax: 180_000,
  tuningMs: 20_000,
  queueLengthMax: 256,
  requestBytesMax: 64 * 1024 * 1024,
  flushMs: 500,
}
const INTERVAL_CHECK_MS = 250
const MIB = 2 ** 20

export interface NodeRuntime extends Runtime {
  /** Where the local API listens, once it does. Errors: `serve.cannot_listen`. */
  address(): Promise<Result<HostAddress>>
  /** What the repository holds beside what serves, for its index. */
  tellRepository(entries: readonly RepositoryEntry[]): void
}

export function createNodeRuntime(options: NodeRuntimeOptions): NodeRuntime {
  const { device, boot, listen, socketPath, grpc = null, directory, artifactPath } = options
  const { artifactKey, serverName } = options
  const limits = { ...LIMITS, ...options.limits }
  mkdirSync(directory, { recursive: true })
  const handlers: ((event: RuntimeEvent) => void)[] = []
  const emit = (event: RuntimeEvent): void => {
    for (const handler of handlers) handler(event)
  }
  const proofs = createProofs(options, limits, emit)
  const uint32 = secureUint32()
  const intervals = createIntervalMerge(
    () => keeper.plan().windowMs,
    (interval) => emit({ kind: 'interval', interval: disguiseInterval(interval, uint32) }),
  )
  const planMessage = (plan: HostPlan): ToHost => ({
    ...{ kind: 'plan', plan, ...(artifactKey && { artifactKey }) },
  })
  const keeper = createPlanKeeper({
    artifactPath,
    send: (plan) => hosts.send(planMessage(plan)),
    emit,
    addInterval: intervals.add,
  })
  const { deadlineMsMax, queueLengthMax, requestBytesMax, flushMs, hangMs, loadMsMax } = limits
  const request = { deadlineMsMax, queueLengthMax, requestBytesMax, flushMs }
  const markPath = join(directory, 'running')
  const memory = {
    sessionBytesMax: options.profile.limits.sessionMemoryMb * MIB,
    idleUnloadMs: options.idleUnloadMs ?? null,
  }
  let entries: readonly RepositoryEntry[] = []
  const repository = options.repository ?? CLOSED_REPOSITORY
  const answerChange = async ({ id, command }: Extract<HostNews, { kind: 'change' }>) => {
    const result = await repository.change(command).catch((cause: unknown) => {
      return err(toProblem(cause, 'repository.failed'))
    })
    hosts.send({ kind: 'changed', id, result })
  }
  const hosts = createModelHosts({
    host: { device, boot, listen, socketPath, grpc, markPath, serverName, ...request, ...memory },
    ...{ hangMs, loadMsMax, sharing: options.sharing ?? null },
    sessionMemoryMb: options.profile.limits.sessionMemoryMb,
    onListening: (send) => {
      send({ kind: 'repository', entries })
      keeper.tell((plan) => send(planMessage(plan)))
    },
    onTrouble: (problem) => emit({ kind: 'hostRestarted', problem }),
    onScaled: (problem) => emit({ kind: 'hostsScaled', problem }),
    onExit: keeper.onExit,
    onServed: keeper.onServed,
    onNews: (news) => {
      if (news.kind === 'counted') intervals.add(news.interval)
      else if (news.kind === 'change') void answerChange(news)
      else if (news.kind === 'residence') options.onResidence?.(news.change)
      else if (news.kind === 'drawing') options.onDrawing?.(news.drawing)
      else if (news.kind === 'optimisedRefused') {
        void proofs.rebuild(news.sha256, news.problem).then(() => keeper.renew(proofs.latest))
      } else keeper.condemn(news.sha256, news.problem)
    },
  })
  const timer = setInterval(() => intervals.close(), INTERVAL_CHECK_MS)
  timer.unref()

  return {
    async qualify(release: ResolvedRelease, signal: AbortSignal) {
      const admitted = keeper.admit(release)
      if (!admitted.ok && !options.anyMayFollow) return admitted
      return proofs.qualify(release, signal)
    },
    serve: createAssuredServe(proofs.assure, keeper.serve),
    address: () => hosts.address(),
    tellRepository(told) {
      entries = told
      hosts.send({ kind: 'repository', entries })
    },
    onEvent: (handler) => void handlers.push(handler),
    async close() {
      clearInterval(timer)
      proofs.close()
      await hosts.close()
      intervals.close(true)
      keeper.close()
    },
  }
}

/** What is proved on this device. */
function createProofs(
  options: NodeRuntimeOptions,
  limits: RuntimeLimits,
  emit: (event: RuntimeEvent) => void,
): ProofKeeper {
  const { profile, signer, directory, artifactPath, artifactKey, batching } = options
  const hosts = options.sharing?.hostsMax ?? 1
  // Settings that were found for other cores, or for fewer hosts, do not hold.
  const { threadsMax } = capThreads(profile, usableCores(), hosts)
  const records = createRecordStore({
    directory: join(directory, 'qualified'),
    surroundings: {
      ...{ runtimeVersion: runtimeVersion(), machine: machineName(), drivers: driverName() },
      profile: { ...profile, limits: { ...profile.limits, threadsMax } },
    },
    signer,
  })
  return createProofKeeper({
    ...{ records, profile, artifactPath, artifactKey, hosts, isStrict: signer !== undefined },
    ...{ timeMsMax: limits.qualifyMsMax, tuningMs: limits.tuningMs },
    ...(batching && { batching }),
    onProvedAgain: (qualification, problem) =>
      emit({ kind: 'provedAgain', qualification, problem }),
  })
}
