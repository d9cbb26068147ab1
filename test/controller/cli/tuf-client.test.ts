import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { runTufClient } from '../../../controller/cli/tuf-client.ts'
import { TestRepository, targetOf } from '../../shared/signing/tuf/build-repository.ts'

const YEAR_MS = 365 * 86_400_000

let folder = ''
let server: Server
let base = ''
let requests: string[] = []
let repository: TestRepository
const targets = new Map<string, string>()
const errors: string[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'linnet-tuf-'))
  await mkdir(join(folder, 'metadata'))
  requests = []
  targets.clear()
  errors.length = 0
  const far = Date.now() + YEAR_MS
  repository = new TestRepository((model) => {
    model.expiresMs = { root: far, timestamp: far, snapshot: far, targets: far }
    model.targets = [targetOf('file.txt', 'one'), targetOf('a/b/file.txt', 'two')]
  })
  targets.set('file.txt', 'one')
  targets.set('a/b/file.txt', 'two')
  server = createServer((request, response) => {
    const url = request.url ?? ''
    requests.push(url)
    const metadata = repository.files.get(url.replace('/metadata/', ''))
    const [, path = '', name = ''] = /^\/targets\/(.*?)[0-9a-f]{64}\.(.*)$/.exec(url) ?? []
    const body = metadata ?? targets.get(`${path}${name}`)
    response.statusCode = body === undefined ? 404 : 200
    response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => errors.push(String(text)) > 0)
})

afterEach(async () => {
  vi.restoreAllMocks()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(folder, { recursive: true, force: true })
})

const common = () => ['--metadata-dir', join(folder, 'metadata')]
const refreshing = () => [...common(), '--metadata-url', `${base}/metadata/`]

async function init(): Promise<number> {
  const root = join(folder, 'initial.json')
  await writeFile(root, repository.files.get('1.root.json')!)
  return runTufClient([...common(), 'init', root])
}

function fetchTarget(name: string): Promise<number> {
  const target = ['--target-name', name, '--target-base-url', `${base}/targets`]
  const dir = ['--target-dir', join(folder, 'targets')]
  return runTufClient([...refreshing(), ...target, ...dir, 'download'])
}

describe('linnet tuf-client', () => {
  it('starts from a root without asking the server', async () => {
    expect(await init()).toBe(0)
    expect(await readdir(join(folder, 'metadata'))).toEqual(['root.json'])
    expect(requests).toEqual([])
  })

  it('refreshes into files without versions', async () => {
    await init()
    expect(await runTufClient([...refreshing(), 'refresh'])).toBe(0)
    expect(await readdir(join(folder, 'metadata'))).toEqual([
      'root.json',
      'snapshot.json',
      'targets.json',
      'timestamp.json',
    ])
    const stored = await readFile(join(folder, 'metadata', 'targets.json'))
    expect(stored).toEqual(Buffer.from(repository.files.get('1.targets.json')!))
  })

  it('downloads a target once', async () => {
    await init()
    expect(await fetchTarget('a/b/file.txt')).toBe(0)
    expect(await readdir(join(folder, 'targets'))).toEqual(['a%2Fb%2Ffile.txt'])
    expect(await readFile(join(folder, 'targets', 'a%2Fb%2Ffile.txt'), 'utf8')).toBe('two')
    const before = requests.length
    expect(await fetchTarget('a/b/file.txt')).toBe(0)
    expect(requests.slice(before)).toEqual(['/metadata/2.root.json', '/metadata/timestamp.json'])
  })

  it.each(['other', 'longer than signed', ''])('keeps what it has when served %j', async (body) => {
    await init()
    expect(await fetchTarget('file.txt')).toBe(0)
    repository.next((model) => {
      model.targets = [targetOf('file.txt', 'newer')]
    })
    targets.set('file.txt', body)
    expect(await fetchTarget('file.txt')).toBe(1)
    expect(await readdir(join(folder, 'targets'))).toEqual(['file.txt'])
    expect(await readFile(join(folder, 'targets', 'file.txt'), 'utf8')).toBe('one')
    expect(errors.join('')).toMatch(/tuf\.(mix_and_match|endless_data)/)
  })

  it('says why it fails, with exit code 1', async () => {
    await init()
    expect(await fetchTarget('missing')).toBe(1)
    expect(
      await runTufClient([...common(), '--metadata-url', 'http://127.0.0.1:1', 'refresh']),
    ).toBe(1)
    expect(await runTufClient(['refresh'])).toBe(1)
    expect(await runTufClient(['--nonsense'])).toBe(1)
    expect(await runTufClient([...common(), 'init', join(folder, 'nothing')])).toBe(1)
    expect(errors.map((line) => /\[([a-z_.]+)\]\n$/.exec(line)?.[1])).toEqual([
      'tuf.target_unknown',
      'tuf.unavailable',
      'tuf_client.usage',
      'tuf_client.failed',
      'tuf_client.failed',
    ])
  })
})
