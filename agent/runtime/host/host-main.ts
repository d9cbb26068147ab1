/**
 * The model host: the data process of a device. Owns the sessions of ONNX Runtime and the sockets of
 * the local API; takes plans from the agent over IPC and sends counts back. Composition root of this
 * process. Crash-only: it keeps nothing that its parent cannot give it again, and dies with it.
 */
import { toProblem } from '../../../shared/kernel/result.ts'
import { createByteLedger } from '../../serve/byte-ledger.ts'
import { listenGrpc } from '../../serve/grpc-listener.ts'
import { createInferLane } from '../../serve/infer-lane.ts'
import { createInferListener } from '../../serve/infer-listener.ts'
import { createInferenceApi, type InferenceApiOptions } from '../../serve/inference-api.ts'
import { type Listening, listen } from '../../serve/listen.ts'
import { loadWarmSession } from '../load-release.ts'
import { createHostPlane, type HostPlane } from '../plane/host-plane.ts'
import { endInOrder, endWithAgent } from './end-with-agent.ts'
import { createHostMetrics } from './host-metrics.ts'
import type { Drawing, FromHost, HostOptions, ToHost } from './host-protocol.ts'
import { createPlanLoader } from './plan-loader.ts'
import { createRepositoryRelay } from './repository-relay.ts'
import { Residency } from './residency.ts'
import { openRunMark } from './run-mark.ts'
import { settleEngine } from './settle-engine.ts'

const BEAT_MS = 250
const IDLE_CHECK_MS = 500

const options = JSON.parse(process.argv[2] ?? '{}') as HostOptions
const send = (message: FromHost): void => {
  // The parent may be gone; then `disconnect` ends this process.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}

async function main(): Promise<void> {
  const mark = openRunMark(options.markPath)
  const repository = createRepositoryRelay(`${process.pid}`, send)
  const plane = createHostPlane({
    nowMs: () => performance.now(),
    deadlineMsMax: options.deadlineMsMax,
    queueLengthMax: options.queueLengthMax,
    mark: (live) => mark.set(live?.sha256 ?? null),
    defer: setImmediate,
    onBroke: ({ sha256 }, problem) => send({ kind: 'broke', sha256, problem }),
    isComing: repository.isComing,
  })
  const sendCounts = (): void => {
    for (const interval of plane.flush()) send({ kind: 'counted', interval })
  }
  let artifactKey: Uint8Array | undefined
  const residency = new Residency({
    bytesMax: options.sessionBytesMax,
    idleMs: options.idleUnloadMs,
    nowMs: () => performance.now(),
    residentBytes: () => process.memoryUsage.rss(),
    load: (release) =>
      loadWarmSession(release, artifactKey, (problem) => {
        const { sha256 } = release.resolved.release
        send({ kind: 'optimisedRefused', sha256, problem })
      }),
    onLoading: (sha256) => send({ kind: 'loading', sha256 }),
    onChange: (change) => send({ kind: 'residence', change }),
  })
  let settled: Promise<void> | undefined
  const loader = createPlanLoader({
    seed: `${options.device}/${options.boot}/${options.incarnation}`,
    sessionSeed: options.device,
    async load(release) {
      settled ??= settleEngine()
      await settled
      return residency.admit(release)
    },
    warm: (live) => live.residence?.wake(Infinity),
    onExpected: plane.expect,
    onLoading: (sha256) => send({ kind: 'loading', sha256 }),
    swap: (routes) => {
      plane.swap(routes)
      for (const route of routes.values()) tellDrawing(route.drawing())
      sendCounts()
    },
    wallClockMs: Date.now,
  })
  const metrics = createHostMetrics(residency)
  const listening = await openApi(plane, { repository, metrics })
  setInterval(() => send({ kind: 'beat' }), BEAT_MS)
  setInterval(sendCounts, options.flushMs)
  setInterval(() => void residency.sleepIdle(), IDLE_CHECK_MS)
  process.on('message', (message: ToHost) => {
    if (message.kind === 'close') {
      void endInOrder(listening.close, sendCounts)
      return
    }
    if (message.kind === 'budget') return residency.bound(message.bytesMax)
    if (message.kind === 'repository') return repository.told(message.entries)
    if (message.kind === 'changed') return repository.changed(message.id, message.result)
    artifactKey = message.artifactKey
    residency.expect(message.plan)
    const { planId } = message.plan
    void loader.apply(message.plan).then((outcome) => {
      if (outcome !== undefined) send({ kind: 'served', planId, outcome })
    })
  })
}

/** Before any request is drawn so: the swap and this are one turn of the loop. */
function tellDrawing(drawing: Drawing | undefined): void {
  if (drawing !== undefined) send({ kind: 'drawing', drawing })
}

async function openApi(
  plane: HostPlane,
  { repository, metrics }: Required<Pick<InferenceApiOptions, 'repository' | 'metrics'>>,
): Promise<Listening> {
  const { listen: tcp, socketPath, requestBytesMax, serverName } = options
  const ledger = createByteLedger()
  const limits = { requestBytesMax, loopbackOnly: true, repository, metrics, ledger, serverName }
  const lane = createInferLane(plane, limits)
  const direct = createInferListener(plane, limits)
  const listening = await listen(createInferenceApi(plane, limits), {
    ...{ tcp, socketPath, lane, direct, ledger },
  })
  const { grpc } = options
  const second = grpc === null ? null : await listenGrpc(plane, { ...grpc, ...limits })
  const port = listening.port ?? null
  send({ kind: 'listening', port, grpcPort: second?.port ?? null, socketPath })
  return {
    port: listening.port,
    close: async () => {
      await Promise.all([listening.close(), second?.close()])
    },
  }
}

// A host without its agent would serve a plan that nobody can change.
endWithAgent()

main().catch((cause: unknown) => {
  send({ kind: 'cannotListen', problem: toProblem(cause, 'serve.cannot_listen') })
  setImmediate(() => process.exit(1))
})
