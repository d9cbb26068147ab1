/**
 * The repository API over HTTP. Source: Triton's "Model Repository Extension", with and without the
 * name of a repository, of which there is one.
 */
import type { Context, Env, Hono } from 'hono'
import { fromUtf8 } from '../../shared/kernel/bytes.ts'
import { refuse } from '../../shared/kernel/result.ts'
import type { DataPlane } from '../data-plane.ts'
import {
  bearerToken,
  decodeChangeBody,
  type ModelRepository,
  type RepositoryCommand,
  repositoryIndex,
} from './model-repository.ts'
import { readBody } from './read-body.ts'
import { refusalResponse } from './refusal.ts'

const BODY_BYTES_MAX = 65_536

export function addRepositoryRoutes<E extends Env>(
  api: Hono<E>,
  plane: Pick<DataPlane, 'releases'>,
  repository: ModelRepository,
): void {
  for (const path of ['/v2/repository', '/v2/repository/:repository']) {
    api.post(`${path}/index`, async (context) => {
      const text = await bodyText(context)
      if (text instanceof Response) return text
      const readyOnly = /"ready"\s*:\s*true/.test(text)
      return context.json(repositoryIndex(plane.releases(), repository.entries(), readyOnly))
    })
    for (const action of ['load', 'unload'] as const) {
      api.post(`${path}/models/:model/${action}`, (context) => change(context, repository, action))
    }
  }
}

async function change(
  context: Context,
  repository: ModelRepository,
  action: RepositoryCommand['action'],
): Promise<Response> {
  const text = await bodyText(context)
  if (text instanceof Response) return text
  const asked = { action, model: context.req.param('model') ?? '' }
  const overrides = decodeChangeBody(asked, text)
  if (!overrides.ok) return refusalResponse(overrides.error)
  const token = bearerToken(context.req.header('authorization'))
  const changed = await repository.change({ ...asked, ...overrides.value, token })
  return changed.ok ? context.json({}) : refusalResponse(changed.error)
}

/** Clients send an object, or nothing. */
async function bodyText(context: Context): Promise<string | Response> {
  const body = await readBody(context.req.raw, BODY_BYTES_MAX)
  if (!body.ok) return refusalResponse(body.error)
  const text = fromUtf8(body.value)
  if (text !== undefined) return text
  return refusalResponse(refuse('request.malformed', 'The request is not UTF-8.').error)
}
