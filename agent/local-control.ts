/**
 * Loads and unloads by the local repository API of a device of a fleet. What the device serves is the
 * fleet's decision; who may read the token in its home may take an assigned model out of memory for
 * a while and bring it back. Nothing else can be loaded.
 *
 * Invariants: nothing happens without the token; a model in a rollout stays, or its arms would not
 * be comparable; the next assignment, and a restart, bring everything back; every change is told to
 * the fleet; a change that fails leaves everything as it was.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { err, ok, type Problem, type Result, refuse } from '../shared/kernel/result.ts'
import type { Runtime, RuntimeEvent, ServeOutcome, ServePlan } from './ports.ts'
import type { NodeRuntime } from './runtime/node-runtime.ts'
import {
  type ModelRepository,
  type RepositoryEntry,
  refuseChange,
} from './serve/model-repository.ts'

export interface LocalControl extends Pick<ModelRepository, 'change'> {
  /** The runtime as the agent sees it: its plans, less what was unloaded. */
  over(runtime: Runtime & Pick<NodeRuntime, 'tellRepository'>): Runtime
}

const TOKEN_BYTES = 32

/** @param tokenPath of a file that only the device's own user may read; made if missing. */
export function createLocalControl(tokenPath: string): LocalControl {
  const token = readOrMakeToken(tokenPath)
  const unloaded = new Set<string>()
  let plan: ServePlan = { generation: -1, windowMs: 60_000, models: [] }
  let target: (Runtime & Pick<NodeRuntime, 'tellRepository'>) | undefined

  const handlers: ((event: RuntimeEvent) => void)[] = []

  const serve = (): ReturnType<Runtime['serve']> => {
    target?.tellRepository(entriesOf(plan, unloaded))
    const models = plan.models.filter(({ model }) => !unloaded.has(model))
    return (
      target?.serve({ ...plan, models }) ?? Promise.resolve({ served: false as const, broken: [] })
    )
  }

  function setUnloaded(model: string, isUnloaded: boolean): void {
    if (isUnloaded) unloaded.add(model)
    else unloaded.delete(model)
  }

  return {
    async change({ action, model, batchSizeMax, token: given }) {
      if (!isSame(given, token)) {
        const next = `send "Authorization: Bearer TOKEN" with the token in ${tokenPath}`
        return refuseChange('Loads and unloads on this device need its token.', next)
      }
      if (batchSizeMax !== undefined) {
        return refuseChange('What clients are told of an assigned model stands in its manifest.')
      }
      const checked = checkModel(plan, model)
      if (!checked.ok) return checked
      const was = unloaded.has(model)
      setUnloaded(model, action === 'unload')
      const asked = plan
      const failed = failureOf(model, asked, await serve())
      if (failed === undefined) {
        const isNew = was !== unloaded.has(model)
        if (isNew) for (const tell of handlers) tell(changed(action, model))
        return ok()
      }
      // Another plan that has come since knows nothing of this change.
      if (asked === plan) {
        setUnloaded(model, was)
        await serve()
      }
      return err(failed)
    },
    over(runtime) {
      target = runtime
      return {
        ...runtime,
        onEvent(handler) {
          handlers.push(handler)
          runtime.onEvent(handler)
        },
        serve(next) {
          if (next.generation !== plan.generation) unloaded.clear()
          plan = next
          return serve()
        },
      }
    },
  }
}

/** Other models may be broken; that is not the answer to a change of this one. */
function failureOf(model: string, plan: ServePlan, outcome: ServeOutcome): Problem | undefined {
  if (outcome.served) return undefined
  if (outcome.broken.length === 0) {
    return { code: 'repository.failed', message: 'The model host did not take the change.' }
  }
  const own = plan.models.find((each) => each.model === model)?.current?.resolved.release.sha256
  return outcome.broken.find(({ sha256 }) => sha256 === own)?.problem
}

function changed(action: 'load' | 'unload', model: string): RuntimeEvent {
  const what = action === 'unload' ? 'taken out of service' : 'brought back into service'
  const message = `An assigned model was ${what} at the device.`
  const found = `${action} by the repository API`
  return { kind: 'changedLocally', model, problem: { code: 'repository.changed', message, found } }
}

/** Errors: `repository.unknown_model`, `repository.in_rollout`. */
function checkModel({ models }: ServePlan, model: string): Result<undefined> {
  const assigned = models.find((each) => each.model === model)
  if (assigned === undefined) {
    return refuse('repository.unknown_model', 'The fleet assigned no such model.', {
      expected: models.map((each) => each.model).join(', '),
      found: model.slice(0, 64),
    })
  }
  if (assigned.candidate === null) return ok()
  return refuse('repository.in_rollout', 'The model takes part in a rollout and stays.', {
    next: 'wait for the end of the rollout, or roll it back',
  })
}

function entriesOf({ models }: ServePlan, unloaded: ReadonlySet<string>): RepositoryEntry[] {
  return models.flatMap(({ model, current }) =>
    current === null || !unloaded.has(model)
      ? []
      : [
          {
            ...{ name: model, version: current.resolved.release.version, state: 'UNAVAILABLE' },
            reason: 'unloaded by the repository API',
          } as const,
        ],
  )
}

function readOrMakeToken(path: string): string {
  mkdirSync(dirname(path), { recursive: true })
  try {
    writeFileSync(path, randomBytes(TOKEN_BYTES).toString('base64url'), {
      ...{ mode: 0o600, flag: 'wx' },
    })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
  }
  return readFileSync(path, 'utf8').trim()
}

function isSame(given: string | undefined, token: string): boolean {
  const [a, b] = [Buffer.from(given ?? ''), Buffer.from(token)]
  return token !== '' && a.length === b.length && timingSafeEqual(a, b)
}
