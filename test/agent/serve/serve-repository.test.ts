/** What the index of `linnet serve` says after each change, with a host that can be told to fail. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ServePlan } from '../../../agent/ports.ts'
import { createRepositoryRelay } from '../../../agent/runtime/host/repository-relay.ts'
import { toldBatchSizeMax } from '../../../agent/serve/model-repository.ts'
import { createServeRepository } from '../../../agent/serve-repository.ts'
import { ok } from '../../../shared/kernel/result.ts'
import { encodeModel } from '../../../shared/onnx/graph-writer.ts'
import { tinyClassifier } from '../runtime/release-builder.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'linnet-repository-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, version: string, shift: number, rows: number | string = 'n'): void {
  const path = join(folder, name, version)
  mkdirSync(path, { recursive: true })
  const { graph, ...rest } = tinyClassifier(shift)
  const withRows = (tensors: typeof graph.inputs) =>
    tensors.map((tensor) => ({ ...tensor, shape: [rows, 2] }))
  const sized = {
    ...graph,
    ...{ inputs: withRows(graph.inputs), outputs: withRows(graph.outputs) },
  }
  writeFileSync(join(path, 'model.onnx'), encodeModel({ ...rest, graph: sized }))
}

/** A host that loads everything but the versions named in `breaks`. */
function repositoryOf(breaks: Set<string>) {
  const relay = createRepositoryRelay('host', () => undefined)
  const plans: ServePlan[] = []
  const repository = createServeRepository({
    options: { paths: [folder], spec: {}, control: 'explicit', loadFirst: [], versions: 'all' },
    runtime: {
      qualify: async () => ok({ ...PROOF } as never),
      async serve(plan) {
        plans.push(plan)
        const releases = plan.models.flatMap(({ current, others = [] }) => [current!, ...others])
        const broken = releases
          .map(({ resolved: { release } }) => release)
          .filter(({ version }) => breaks.has(version))
          .map(({ sha256 }) => ({ sha256, problem: BROKE }))
        return broken.length === 0 ? { served: true } : { served: false, broken }
      },
      tellRepository: relay.told,
    },
    ...{ folder, files: new Map(), say: () => undefined },
  })
  const rows = () => relay.entries().map(({ version, state }) => `${version} ${state}`)
  return { repository, relay, rows, plans }
}

const PROOF = { chosen: 'cpu', loadMs: 1, steadyMsP50: 1, attempts: [] }
const BROKE = { code: 'runtime.load_failed', message: 'It cannot be loaded.' }
const LOAD = { action: 'load', model: 'tiny', token: undefined } as const

describe('The repository of linnet serve', { timeout: 60_000 }, () => {
  it('has nothing on its way after a load', async () => {
    write('tiny', '1', 0)
    const { repository, relay, rows } = repositoryOf(new Set())
    await repository.start()
    expect(rows()).toEqual(['1 UNAVAILABLE'])
    expect(await repository.change(LOAD)).toEqual(ok())
    expect(relay.isComing('tiny')).toBe(false)
    // What serves is told by the plane itself.
    expect(rows()).toEqual([])
  })

  it('says why an older version broke in the host, and plans it no more', async () => {
    write('tiny', '1', 0)
    write('tiny', '2', 1)
    const { repository, relay, rows, plans } = repositoryOf(new Set(['1']))
    await repository.start()
    expect(await repository.change(LOAD)).toEqual(ok())
    expect(relay.isComing('tiny')).toBe(false)
    expect(relay.entries()).toEqual([
      {
        ...{ name: 'tiny', version: '1', state: 'UNAVAILABLE' },
        reason: expect.stringContaining('It cannot be loaded.'),
      },
    ])
    write('other', '1', 2)
    await repository.change({ ...LOAD, model: 'other' })
    const tiny = plans.at(-1)?.models.find(({ model }) => model === 'tiny')
    expect([tiny?.current?.resolved.release.version, tiny?.others]).toEqual(['2', []])
    expect(rows()).toContain('1 UNAVAILABLE')
  })

  it('keeps what served when the newest version breaks in the host', async () => {
    write('tiny', '1', 0)
    const { repository, relay, rows } = repositoryOf(new Set(['2']))
    await repository.start()
    await repository.change(LOAD)
    write('tiny', '2', 1)
    expect(await repository.change(LOAD)).toMatchObject({ error: BROKE })
    expect(relay.isComing('tiny')).toBe(false)
    expect(rows()).toEqual(['2 UNAVAILABLE'])
  })

  it('tells the batch size that a load asks for, until the model is unloaded', async () => {
    write('tiny', '1', 0)
    const { repository, relay, rows } = repositoryOf(new Set())
    await repository.start()
    const told = () => toldBatchSizeMax(relay, 'tiny')
    expect(await repository.change({ ...LOAD, batchSizeMax: 16 })).toEqual(ok())
    expect([told(), toldBatchSizeMax(relay, 'other')]).toEqual([16, undefined])
    await repository.change({ ...LOAD, action: 'unload' })
    expect([told(), rows()]).toEqual([undefined, ['1 UNAVAILABLE']])
    await repository.change(LOAD)
    expect(told()).toBeUndefined()
  })

  it('refuses a batch size for a model that has no batch, and names what it has not', async () => {
    write('fixed', '1', 0, 1)
    const { repository, rows } = repositoryOf(new Set())
    await repository.start()
    const wish = { ...LOAD, model: 'fixed', batchSizeMax: 16 }
    expect(await repository.change(wish)).toMatchObject({
      error: { code: 'repository.no_batch', message: expect.stringMatching(/^failed to load/) },
    })
    expect(rows()).toEqual(['1 UNAVAILABLE'])
    expect(await repository.change({ ...LOAD, model: 'none' })).toMatchObject({
      error: {
        code: 'repository.unknown_model',
        message: "failed to load 'none', the repository has no such model",
      },
    })
  })
})
