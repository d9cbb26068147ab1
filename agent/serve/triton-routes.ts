/**
 * Routes of Triton's clients for what this host does not have, shared memory and settings, refused in
 * the words they understand.
 */
import type { Env, Hono } from 'hono'
import { refuse } from '../../shared/kernel/result.ts'
import { refuseRegion } from './infer-decode.ts'
import { refusalResponse } from './refusal.ts'

export function addTritonRoutes<E extends Env>(api: Hono<E>): void {
  for (const kind of ['systemsharedmemory', 'cudasharedmemory']) {
    // There are no regions, so a list of them is empty and all of them are unregistered.
    api.get(`/v2/${kind}/status`, (context) => context.json([]))
    api.post(`/v2/${kind}/unregister`, (context) => context.json({}))
    api.all(`/v2/${kind}/*`, () => refusalResponse(refuseRegion().error))
  }
  const settings = (): Response =>
    refusalResponse(
      refuse('request.unknown_route', 'This host has no such settings.', {
        next: 'see GET /metrics',
      }).error,
    )
  for (const path of ['/v2/trace/setting', '/v2/models/:model/trace/setting', '/v2/logging']) {
    api.all(path, settings)
  }
}
