/**
 * The model host inside a worker: the same data plane and plan loader as on Node, with the page in the
 * place of the agent's process. It answers the local API over messages instead of sockets, and asks
 * the page for the files that it loads. Keeps nothing that the page cannot give it again.
 */
import { ProblemError, type Result } from '../../shared/kernel/result.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import type { HostRelease } from '../runtime/host/host-protocol.ts'
import { createPlanLoader } from '../runtime/host/plan-loader.ts'
import { createHostPlane } from '../runtime/plane/host-plane.ts'
import { type LiveRelease, liveRelease, loadFailed, warmUp } from '../runtime/plane/live-release.ts'
import { createInferenceApi } from '../serve/inference-api.ts'
import { loadEngine, type WebEngine } from './web-engine.ts'
import { checkArtifact } from './worker-proof.ts'
import type { ToWorker, WorkerHostOptions } from './worker-protocol.ts'
import { createWorkerRequests, type Post } from './worker-requests.ts'

const BEAT_MS = 250

type Bytes = Uint8Array<ArrayBuffer>

/** @returns what takes the page's further messages. */
export async function startWorkerHost(
  options: WorkerHostOptions,
  post: Post,
  onAbort: (cause: unknown) => void,
): Promise<(message: ToWorker) => void> {
  const defer = (task: () => void): void => void setTimeout(task, 0)
  const nextTurn = () => new Promise<void>((resolve) => defer(resolve))
  const engine = await loadEngine(options.engine, onAbort)
  const files = createFileRequests(post)
  const plane = createHostPlane({
    nowMs: () => performance.now(),
    deadlineMsMax: options.deadlineMsMax,
    queueLengthMax: options.queueLengthMax,
    mark: (live) => post({ kind: 'running', sha256: live?.sha256 ?? null }),
    defer,
    onBroke: ({ sha256 }, problem) => post({ kind: 'broke', sha256, problem }),
  })
  const sendCounts = (): void => {
    for (const interval of plane.flush()) post({ kind: 'counted', interval })
  }
  const loader = createPlanLoader({
    seed: `${options.device}/${options.boot}/${options.incarnation}`,
    load: (release) => load(release, engine, files.read, { defer, nextTurn }),
    onExpected: plane.expect,
    onLoading: (sha256) => post({ kind: 'loading', sha256 }),
    swap: (routes) => {
      plane.swap(routes)
      sendCounts()
    },
    wallClockMs: Date.now,
  })
  const { requestBytesMax } = options
  const api = createInferenceApi(plane, { requestBytesMax, loopbackOnly: false })
  const requests = createWorkerRequests(api, post)
  setInterval(() => post({ kind: 'beat' }), BEAT_MS)
  setInterval(sendCounts, options.flushMs)
  return (message) => {
    if (message.kind === 'artifact') files.arrived(message.sha256, message.bytes)
    else if (message.kind === 'request') requests.take(message.id, message.request)
    else if (message.kind === 'cancel') requests.cancel(message.id)
    else if (message.kind === 'plan') {
      const { planId } = message.plan
      void loader.apply(message.plan).then((outcome) => {
        if (outcome !== undefined) post({ kind: 'served', planId, outcome })
      })
    } else if (message.kind === 'close') {
      sendCounts()
      post({ kind: 'closed' })
    }
  }
}

/** Errors (thrown): `artifact.missing`, `artifact.digest`, `runtime.load_failed`. */
async function load(
  release: HostRelease,
  engine: WebEngine,
  read: (artifact: Artifact) => Promise<Bytes>,
  turns: { defer: (task: () => void) => void; nextTurn: () => Promise<void> },
): Promise<LiveRelease> {
  const { variant } = release.resolved
  const model = await read(variant.artifact)
  const { provider, threads } = release
  const layout = release.layout ?? undefined
  const session = await engine
    .loadSession(model, { provider, threads, layout })
    .catch((cause: unknown) => {
      throw loadFailed(cause)
    })
  await turns.nextTurn()
  if (release.goldenPath !== null) await warmUp(session, await read(variant.golden), turns.nextTurn)
  return liveRelease(release, session, turns.defer)
}

/** Asks the page for files, each once at a time, and hashes what comes. */
function createFileRequests(post: Post) {
  const waiting = new Map<string, ((bytes: Result<Bytes>) => void)[]>()
  return {
    async read(artifact: Artifact): Promise<Bytes> {
      const { sha256, length } = artifact
      const bytes = await new Promise<Result<Bytes>>((resolve) => {
        waiting.set(sha256, [...(waiting.get(sha256) ?? []), resolve])
        post({ kind: 'need', sha256, length })
      })
      if (!bytes.ok) throw new ProblemError(bytes.error)
      const checked = await checkArtifact(bytes.value, artifact)
      if (!checked.ok) throw new ProblemError(checked.error)
      return bytes.value
    },
    arrived(sha256: string, bytes: Result<Bytes>): void {
      // Each `need` is answered once, in order.
      const [first, ...rest] = waiting.get(sha256) ?? []
      if (rest.length > 0) waiting.set(sha256, rest)
      else waiting.delete(sha256)
      first?.(bytes)
    },
  }
}
