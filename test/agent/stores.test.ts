import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createFileSpoolStore } from '../../agent/store/file-spool-store.ts'
import { createFileStateStore } from '../../agent/store/file-state-store.ts'
import { createSmallFiles } from '../../agent/store/small-files.ts'
import { createPrng } from '../../shared/kernel/prng.ts'
import type { DurableState } from '../../shared/update/state.ts'
import { anAssignment, aSlot } from '../fixtures/device-builders.ts'
import { Machine } from '../shared/update/machine.ts'

let folder: string
const warnings: string[] = []
const LOG = { info: () => undefined, warn: (message: string) => void warnings.push(message) }

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'linnet-stores-'))
  warnings.length = 0
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** The state of a device that has applied `generation`. */
function aState(generation: number): DurableState {
  const machine = new Machine()
  machine.accept(anAssignment(generation, [aSlot('current', '1.0.0')]))
  machine.install()
  return machine.state.durable
}

const text = (generation: number) => `${JSON.stringify(aState(generation))}\n`
const half = (generation: number) => text(generation).slice(0, text(generation).length / 2)

/** Where a save of generation 2 over generation 1 may be cut off, and what must be found then. */
const CUTS: [string, Record<string, string>, number | undefined][] = [
  ['before anything was ever saved', {}, undefined],
  ['in the first temporary file', { '.state.json.ab.tmp': half(1) }, undefined],
  ['before the copy', { 'state.json': text(1) }, 1],
  ['in the copy', { 'state.json': text(1), 'state.json.previous': half(1) }, 1],
  ['after the copy', { 'state.json': text(1), 'state.json.previous': text(1) }, 1],
  [
    'in the temporary file',
    { 'state.json': text(1), 'state.json.previous': text(1), '.state.json.ab.tmp': half(2) },
    1,
  ],
  [
    'before the rename',
    { 'state.json': text(1), 'state.json.previous': text(1), '.state.json.ab.tmp': text(2) },
    1,
  ],
  ['after the rename', { 'state.json': text(2), 'state.json.previous': text(1) }, 2],
  ['and the file was damaged later', { 'state.json': half(2), 'state.json.previous': text(1) }, 1],
  ['and the file was emptied later', { 'state.json': '', 'state.json.previous': text(1) }, 1],
  [
    'and both were damaged later',
    { 'state.json': half(2), 'state.json.previous': '{}' },
    undefined,
  ],
  ['by another version of the agent', { 'state.json': '{"schema":"linnet.device.v9"}' }, undefined],
]

describe('the state store', () => {
  it.each(CUTS)('cut off %s starts whole', async (_, files, generation) => {
    for (const [name, content] of Object.entries(files))
      await writeFile(join(folder, name), content)
    const store = createFileStateStore(join(folder, 'state.json'), LOG)
    expect((await store.load())?.order.generation).toBe(generation)
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([])
    await store.save(aState(3))
    expect((await store.load())?.order.generation).toBe(3)
  })

  it('keeps a damaged file aside and says so', async () => {
    await writeFile(join(folder, 'state.json'), 'damaged')
    await createFileStateStore(join(folder, 'state.json'), LOG).load()
    expect(await readFile(join(folder, 'state.json.corrupt'), 'utf8')).toBe('damaged')
    expect(warnings).toHaveLength(1)
  })

  it('gives back exactly what was saved', async () => {
    const store = createFileStateStore(join(folder, 'state.json'), LOG)
    await store.save(aState(7))
    expect(await store.load()).toEqual(aState(7))
  })
})

describe('the spool store', () => {
  const path = () => join(folder, 'spool.log')

  it('gives back what was appended, in order', async () => {
    const store = createFileSpoolStore(path())
    await store.append(['a', 'b'])
    await store.append(['ü'])
    await store.close()
    expect(await createFileSpoolStore(path()).load()).toEqual(['a', 'b', 'ü'])
  })

  it('cut off at any byte keeps every record before the cut, and goes on after it', async () => {
    const store = createFileSpoolStore(path())
    await store.append(['first', 'second', 'third'])
    await store.close()
    const whole = await readFile(path())
    for (let length = 0; length <= whole.length; length++) {
      await writeFile(path(), whole)
      await truncate(path(), length)
      const cut = createFileSpoolStore(path())
      const kept = await cut.load()
      expect(['first', 'second', 'third'].slice(0, kept.length)).toEqual(kept)
      await cut.append(['next'])
      await cut.close()
      expect((await createFileSpoolStore(path()).load()).at(-1)).toBe('next')
    }
  })

  it('leaves out a record that the disk has changed', async () => {
    const store = createFileSpoolStore(path())
    await store.append(['first', 'second'])
    await store.close()
    await writeFile(path(), (await readFile(path(), 'utf8')).replace('first', 'worst'))
    await appendFile(path(), Buffer.from([0xff, 0xfe, 0x0a]))
    expect(await createFileSpoolStore(path()).load()).toEqual(['second'])
  })

  it('replaces everything at once', async () => {
    const store = createFileSpoolStore(path())
    await store.append(['a', 'b'])
    await store.replace(['c'])
    await store.append(['d'])
    await store.close()
    expect(await createFileSpoolStore(path()).load()).toEqual(['c', 'd'])
  })
})

describe('kill -9 of a process that writes', () => {
  const program = fileURLToPath(new URL('./store-writer-main.ts', import.meta.url))
  const prng = createPrng('kill -9')

  /** The last number the process said was safe, and the first it had not begun with. */
  async function killAfterAWhile(): Promise<{ safe: number; begun: number }> {
    const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', program, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    const target = 5 + prng.below(60)
    child.stdout!.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.split('\n').length > target) child.kill('SIGKILL')
    })
    await once(child, 'exit')
    const lines = said.split('\n').slice(0, -1).map(Number)
    return { safe: lines.at(-1) ?? 0, begun: (lines.at(-1) ?? 0) + 1 }
  }

  it('loses nothing that was said to be safe', async () => {
    for (let round = 0; round < 4; round++) {
      const { safe, begun } = await killAfterAWhile()
      expect(safe).toBeGreaterThan(0)
      const state = await createFileStateStore(join(folder, 'state.json'), LOG).load()
      expect([safe, begun]).toContain(state?.order.generation)
      const records = await createFileSpoolStore(join(folder, 'spool.log')).load()
      expect([safe, begun]).toContain(Number(records.at(-1)))
      expect(records.map(Number)).toEqual(records.map((_, i) => Number(records[0]) + i))
      expect(warnings).toEqual([])
    }
  })
})

describe('small files', () => {
  it('are replaced whole, listed and removed', async () => {
    const files = createSmallFiles(join(folder, 'small'))
    expect(await files.names()).toEqual([])
    expect(await files.read('a.json')).toBeUndefined()
    await files.write('a.json', '1')
    await files.write('a.json', '2')
    expect(await files.read('a.json')).toBe('2')
    await files.remove('a.json')
    expect(await readdir(join(folder, 'small'))).toEqual([])
  })
})
