/**
 * Models in the application's own process: nothing is copied, and nothing protects it. A run blocks
 * its thread, and a crash in native code ends it; each model is proved in a process of its own first.
 */
import { unwrap } from '../../shared/kernel/result.ts'
import type { ResolvedRelease } from '../ports.ts'
import type { ApplicationEngine, EngineOptions } from './application-engine.ts'
import type { HostModel, HostRelease } from './host/host-protocol.ts'
import { loadRelease } from './load-release.ts'
import { createHostPlane } from './plane/host-plane.ts'
import { createModelRoute, type ModelRoute } from './plane/model-route.ts'
import { qualifyInProcess } from './qualify/qualify-in-process.ts'
import { APPLICATION_TUNING_MS } from './qualify/tune-settings.ts'

const DEADLINE_MS_MAX = 10_000
const QUALIFY_MS_MAX = 180_000

export function createInlineEngine(options: EngineOptions): ApplicationEngine {
  const routes = new Map<string, ModelRoute>()
  const plane = createHostPlane({
    nowMs: () => performance.now(),
    deadlineMsMax: DEADLINE_MS_MAX,
    queueLengthMax: options.queueLengthMax,
    mark: () => undefined,
    defer: setImmediate,
    onBroke: () => undefined,
  })
  return {
    async bring(release, path) {
      routes.set(release.release.model, await routeTo(release, path, options))
    },
    async start() {
      plane.swap(routes)
      return plane
    },
    async close() {
      plane.swap(new Map())
      plane.flush()
    },
  }
}

async function routeTo(
  resolved: ResolvedRelease,
  modelPath: string,
  { profile, batching, files }: EngineOptions,
): Promise<ModelRoute> {
  const artifactPath = (sha256: string) => files.get(sha256)
  const { signal } = new AbortController()
  const timeMsMax = QUALIFY_MS_MAX
  const proof = unwrap(
    await qualifyInProcess(resolved, {
      ...{ profile, artifactPath, timeMsMax, signal, batching, tuningMs: APPLICATION_TUNING_MS },
    }),
  )
  const release: HostRelease = {
    ...{ resolved, provider: proof.qualification.chosen, modelPath },
    goldenPath: artifactPath(resolved.variant.golden.sha256) ?? null,
    ...proof.settings,
  }
  const model: HostModel = {
    ...{ model: resolved.release.model, current: release, candidate: null, previous: null },
    ...{ rollout: null, trafficShare: 0, shadow: 0 },
  }
  const current = await loadRelease(release)
  const route = createModelRoute({
    ...{ model, generation: 0, seed: 'in-process', current, candidate: null, previous: null },
    wallClockMs: Date.now,
  })
  // The route holds it from here on.
  current.letGo()
  return route
}
