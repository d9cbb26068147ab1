/**
 * Models of an application in a model host of their own, as on a device: a run never blocks the
 * application's thread, and a model that crashes or hangs in native code ends the host, not the
 * application; the host is replaced and the requests under way are told. Costs a copy over a socket.
 */
import { join } from 'node:path'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import type { ReleaseStatus } from '../data-plane.ts'
import type { ServedModel } from '../ports.ts'
import type { ApplicationEngine, EngineOptions } from './application-engine.ts'
import { createNodeRuntime } from './node-runtime.ts'
import { APPLICATION_TUNING_MS } from './qualify/tune-settings.ts'
import { createRemotePlane, type RemotePlane } from './remote-plane.ts'

/** A host answers one run at a time; more connections only wait there instead of here. */
const CONNECTIONS_MAX = 64
const DEADLINE_MS_MAX = 10_000
const HOST = '127.0.0.1'

export function createIsolatedEngine(options: EngineOptions): ApplicationEngine {
  const { profile, batching, queueLengthMax, folder, files, say } = options
  const hasSockets = process.platform !== 'win32'
  const socketPath = hasSockets ? join(folder, 'host.sock') : null
  const listen = hasSockets ? null : { host: HOST, port: 0 }
  const runtime = createNodeRuntime({
    ...{ device: 'local', boot: 'in-process', profile, directory: folder, listen, socketPath },
    ...{ batching, anyMayFollow: true },
    limits: { queueLengthMax, deadlineMsMax: DEADLINE_MS_MAX, tuningMs: APPLICATION_TUNING_MS },
    artifactPath: (sha256) => files.get(sha256),
  })
  runtime.onEvent((event) => {
    if (event.kind === 'hostRestarted') say(event.problem.message)
  })
  const models: ServedModel[] = []
  let plane: RemotePlane | undefined
  return {
    async bring(resolved, modelPath) {
      const { chosen } = unwrap(await runtime.qualify(resolved, new AbortController().signal))
      models.push({
        ...{ model: resolved.release.model, candidate: null, previous: null, rollout: null },
        ...{ trafficShare: 0, shadow: 0 },
        current: { resolved, provider: chosen, modelPath },
      })
    },
    async start() {
      const { port } = unwrap(await runtime.address())
      const outcome = await runtime.serve({ generation: 1, windowMs: 60_000, models })
      const broken = outcome.served ? undefined : outcome.broken[0]
      if (broken !== undefined) throw new ProblemError(broken.problem)
      plane = createRemotePlane({
        address: socketPath === null ? { host: HOST, port: port ?? 0 } : { socketPath },
        releases: () => models.flatMap(statusOf),
        connectionsMax: CONNECTIONS_MAX,
        // What has a connection waits in the host, and counts as well.
        waitingMax: Math.max(0, queueLengthMax - CONNECTIONS_MAX),
        deadlineMsMax: DEADLINE_MS_MAX,
      })
      return plane
    },
    async close() {
      plane?.close()
      await runtime.close()
    },
  }
}

function statusOf({ model, current }: ServedModel): ReleaseStatus[] {
  if (current === null) return []
  const { manifest, variant } = current.resolved
  const { version, inputs, outputs, classes } = manifest
  const { provider } = current
  return [
    { model, version, variant: variant.name, slot: 'current', provider, inputs, outputs, classes },
  ]
}
