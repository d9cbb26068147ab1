/** Who may load and unload on a device of a fleet, and what it does to the fleet's plan. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLocalControl, type LocalControl } from '../../agent/local-control.ts'
import type {
  Runtime,
  RuntimeEvent,
  ServedModel,
  ServeOutcome,
  ServePlan,
} from '../../agent/ports.ts'
import type { RepositoryEntry } from '../../agent/serve/model-repository.ts'

let folder: string
let path: string
let control: LocalControl
let runtime: Runtime
let plans: ServePlan[]
let told: readonly RepositoryEntry[]
let outcome: ServeOutcome
let events: RuntimeEvent[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'linnet-control-'))
  path = join(folder, 'home', 'local-api.token')
  control = createLocalControl(path)
  plans = []
  told = []
  outcome = { served: true }
  events = []
  runtime = control.over({
    qualify: () => Promise.reject(new Error('not asked')),
    serve: async (plan) => {
      plans.push(plan)
      return outcome
    },
    onEvent: () => undefined,
    close: async () => undefined,
    tellRepository: (entries) => {
      told = entries
    },
  })
  runtime.onEvent((event) => events.push(event))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const served = (model: string, more: Partial<ServedModel> = {}): ServedModel => ({
  ...{ model, candidate: null, previous: null, trafficShare: 0, shadow: 0, rollout: null },
  current: {
    ...{ provider: 'cpu', modelPath: '' },
    resolved: { release: { version: '1.2.0', sha256: `sha of ${model}` } } as never,
  },
  ...more,
})
const plan = (generation: number, ...models: ServedModel[]): ServePlan => ({
  ...{ generation, windowMs: 60_000, models },
})
const names = (of: ServePlan | undefined) => of?.models.map(({ model }) => model)
const token = () => readFileSync(path, 'utf8').trim()

describe('The local repository API of a device', () => {
  it('asks for the token in a file that only its user may read, and keeps it', async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(token()).toMatch(/^[\w-]{43}$/)
    const before = token()
    createLocalControl(path)
    expect(token()).toBe(before)
    await runtime.serve(plan(1, served('faces')))
    for (const wrong of [undefined, '', 'x', `${token()}x`]) {
      const refused = await control.change({ action: 'unload', model: 'faces', token: wrong })
      expect(refused).toMatchObject({
        error: { code: 'repository.refused', next: expect.stringContaining(path) },
      })
    }
    expect(plans).toHaveLength(1)
  })

  it('takes an assigned model out of the plan and brings it back', async () => {
    await runtime.serve(plan(1, served('faces'), served('motor')))
    const unload = { action: 'unload', model: 'faces', token: token() } as const
    expect(await control.change(unload)).toEqual({ ok: true, value: undefined })
    expect(names(plans.at(-1))).toEqual(['motor'])
    expect(told).toEqual([
      {
        ...{ name: 'faces', version: '1.2.0', state: 'UNAVAILABLE' },
        reason: 'unloaded by the repository API',
      },
    ])
    // The same assignment again, after a restart of its controller for example, changes nothing.
    await runtime.serve(plan(1, served('faces'), served('motor')))
    expect(names(plans.at(-1))).toEqual(['motor'])
    await control.change({ ...unload, action: 'load' })
    expect(names(plans.at(-1))).toEqual(['faces', 'motor'])
    expect(told).toEqual([])
  })

  it('tells the fleet of every change, once', async () => {
    await runtime.serve(plan(1, served('faces')))
    const unload = { action: 'unload', model: 'faces', token: token() } as const
    await control.change(unload)
    await control.change(unload)
    await control.change({ ...unload, action: 'load' })
    expect(events).toMatchObject([
      {
        ...{ kind: 'changedLocally', model: 'faces' },
        problem: { code: 'repository.changed', found: 'unload by the repository API' },
      },
      { problem: { found: 'load by the repository API' } },
    ])
  })

  it('answers for the model that was named, whatever else is broken', async () => {
    await runtime.serve(plan(1, served('faces'), served('motor')))
    const problem = { code: 'runtime.load_failed', message: 'It cannot be loaded.' }
    outcome = { served: false, broken: [{ sha256: 'sha of motor', problem }] }
    const ask = (action: 'load' | 'unload') =>
      control.change({ action, model: 'faces', token: token() })
    expect(await ask('unload')).toMatchObject({ ok: true })
    outcome = { served: false, broken: [{ sha256: 'sha of faces', problem }] }
    expect(await ask('load')).toEqual({ ok: false, error: problem })
    // It stays out, as it was, and nobody is told of a change.
    expect(names(plans.at(-1))).toEqual(['motor'])
    expect(told).toMatchObject([{ name: 'faces', state: 'UNAVAILABLE' }])
    expect(events).toHaveLength(1)
    outcome = { served: true }
    expect(await ask('load')).toMatchObject({ ok: true })
    outcome = { served: false, broken: [] }
    expect(await ask('unload')).toMatchObject({ error: { code: 'repository.failed' } })
    expect(names(plans.at(-1))).toEqual(['faces', 'motor'])
  })

  it('gives way to the next assignment', async () => {
    await runtime.serve(plan(1, served('faces')))
    await control.change({ action: 'unload', model: 'faces', token: token() })
    await runtime.serve(plan(2, served('faces')))
    expect(names(plans.at(-1))).toEqual(['faces'])
  })

  it('loads nothing that the fleet did not assign, and leaves rollouts alone', async () => {
    const { current } = served('motor')
    await runtime.serve(plan(1, served('motor', { candidate: current })))
    const ask = (model: string) => control.change({ action: 'unload', model, token: token() })
    expect(await ask('other')).toMatchObject({ error: { code: 'repository.unknown_model' } })
    expect(await ask('motor')).toMatchObject({ error: { code: 'repository.in_rollout' } })
    expect(plans).toHaveLength(1)
  })
})
