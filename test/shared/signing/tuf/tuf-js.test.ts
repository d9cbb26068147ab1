/**
 * tuf-js 5 beside `linnet tuf-client`, on the same repository over HTTP: both fetch the model, and of
 * changed metadata both say the same.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Updater } from 'tuf-js'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { runTufClient } from '../../../../controller/cli/tuf-client.ts'
import { createPrng } from '../../../../shared/kernel/prng.ts'
import type { TestRepository } from './build-repository.ts'
import {
  MODEL_CONTENT,
  MODEL_TARGET,
  modelRepository,
  serveRepository,
} from './model-repository.ts'

/** Each costs both clients a whole update. */
const MUTATIONS = 60

let repository: TestRepository
let server: Server
let url = ''
let folder = ''

/** Long valid, so that every run changes the same bytes. */
const VALID_MS = Date.UTC(2090, 0, 1)

beforeAll(async () => {
  repository = modelRepository(VALID_MS, false)
  const serving = await serveRepository(repository)
  server = serving.server
  url = serving.url
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'linnet-tuf-js-'))
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true, force: true })
})

interface Folders {
  readonly metadata: string
  readonly targets: string
}

async function emptyFolders(): Promise<Folders> {
  const base = await mkdtemp(join(folder, 'run-'))
  const folders = { metadata: join(base, 'metadata'), targets: join(base, 'targets') }
  await mkdir(folders.metadata)
  await mkdir(folders.targets)
  await writeFile(join(folders.metadata, 'root.json'), repository.files.get('1.root.json')!)
  return folders
}

async function filesIn(path: string): Promise<string[]> {
  const names = await readdir(path)
  return Promise.all(names.map((name) => readFile(join(path, name), 'utf8')))
}

/** What the client got; empty when it refused. */
async function byTufJs(): Promise<string[]> {
  const { metadata, targets } = await emptyFolders()
  try {
    const updater = new Updater({
      ...{ metadataDir: metadata, metadataBaseUrl: `${url}/metadata` },
      ...{ targetDir: targets, targetBaseUrl: `${url}/targets` },
      config: { fetchRetries: 0, fetchRetry: 0, fetchTimeout: 5_000 },
    })
    await updater.refresh()
    const target = await updater.getTargetInfo(MODEL_TARGET)
    if (target !== undefined) await updater.downloadTarget(target)
  } catch {
    return []
  }
  return filesIn(targets)
}

async function byLinnet(): Promise<string[]> {
  const { metadata, targets } = await emptyFolders()
  const code = await runTufClient([
    ...['--metadata-dir', metadata, '--metadata-url', `${url}/metadata`],
    ...['--target-name', MODEL_TARGET, '--target-base-url', `${url}/targets`],
    ...['--target-dir', targets, 'download'],
  ])
  return code === 0 ? filesIn(targets) : []
}

describe('tuf-js 5 and linnet tuf-client', () => {
  it('fetch the same model from a repository of ours', async () => {
    expect(await byTufJs()).toEqual([MODEL_CONTENT])
    expect(await byLinnet()).toEqual([MODEL_CONTENT])
  })

  it('fetch it under ECDSA and RSA signatures too', async () => {
    const ed25519 = new Map(repository.files)
    for (const [name, bytes] of modelRepository(VALID_MS, true).files) {
      repository.files.set(name, bytes)
    }
    const got = [await byTufJs(), await byLinnet()]
    for (const [name, bytes] of ed25519) repository.files.set(name, bytes)
    expect(got).toEqual([[MODEL_CONTENT], [MODEL_CONTENT]])
  })

  it('agree on metadata of which a byte was changed, left out or put in', async () => {
    const random = createPrng('tuf-js')
    const names = [...repository.files.keys()].filter((name) => name !== '1.root.json')
    let refused = 0
    for (let i = 0; i < MUTATIONS; i++) {
      const name = names[random.below(names.length)]!
      const honest = repository.files.get(name)!
      const bytes = [...honest]
      const at = random.below(bytes.length)
      bytes.splice(at, random.below(2), ...(random.below(2) === 0 ? [random.below(256)] : []))
      repository.files.set(name, Uint8Array.from(bytes))
      const [theirs, ours] = [await byTufJs(), await byLinnet()]
      repository.files.set(name, honest)
      const where = `${name} at ${at}: ${String.fromCharCode(...bytes.slice(at - 20, at + 20))}`
      expect({ where, got: ours }).toEqual({ where, got: theirs })
      if (ours.length === 0) refused += 1
    }
    expect(refused).toBeGreaterThan(MUTATIONS / 2)
  })

  it.each([
    ['that have expired', 'timestamp.json', 0, false],
    ['by another key', 'timestamp.json', VALID_MS, true],
    ['of another snapshot', '1.snapshot.json', VALID_MS + 86_400_000, false],
  ] as const)('refuse metadata %s', async (_, name, validMs, mixed) => {
    const honest = repository.files.get(name)!
    repository.files.set(name, modelRepository(validMs, mixed).files.get(name)!)
    const got = [await byTufJs(), await byLinnet()]
    repository.files.set(name, honest)
    expect(got).toEqual([[], []])
  })
})
