/**
 * A TUF repository behind a real HTTP server and one client's folders, as the public conformance
 * suite sees a client: exit codes, requests made, trusted files, downloads. How the client is run is
 * the caller's.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { TestRepository, targetOf } from '../shared/signing/tuf/build-repository.ts'

const DAY_MS = 86_400_000

/** Runs `linnet tuf-client` with these arguments, `days` after today; resolves with the exit code. */
export type RunClient = (args: readonly string[], days: number) => Promise<number>

/** What the repository does before the client runs. */
export type Before = (world: World) => void

export interface Step {
  readonly first?: Before
  /** `refresh`, or the name of a target to download. */
  readonly run: { readonly refresh: true } | { readonly download: string }
  readonly days?: number
  readonly exit: 0 | 1
  /** The requests of this step, in order. */
  readonly asks?: readonly string[]
  readonly asksLast?: string
  /** Version by name of each trusted file, all of them. */
  readonly trusts?: Readonly<Record<string, number>>
  /** Contents of the downloads. */
  readonly has?: readonly string[]
}

export class World {
  readonly repository: TestRepository
  /** Bodies by target path, without digest. */
  readonly targets = new Map<string, string>()
  /** Requests whose connection is cut without an answer. */
  readonly cut = new Set<string>()
  requests: string[] = []
  initialRoot: Uint8Array
  readonly #folder: string
  readonly #server: Server
  readonly #run: RunClient

  private constructor(folder: string, server: Server, run: RunClient) {
    const far = Date.now() + 30 * DAY_MS
    this.repository = new TestRepository((model) => {
      model.expiresMs = { root: far, timestamp: far, snapshot: far, targets: far }
      model.targets = []
    })
    this.initialRoot = this.repository.files.get('1.root.json')!
    this.#folder = folder
    this.#server = server
    this.#run = run
  }

  static async open(run: RunClient): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'linnet-conformance-'))
    await mkdir(join(folder, 'metadata'))
    await mkdir(join(folder, 'targets'))
    const server = createServer((request, response) => {
      const body = world.#answer(request.url ?? '')
      if (body === 'cut') return void request.socket.destroy()
      response.writeHead(body === undefined ? 404 : 200, { connection: 'close' }).end(body)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const world: World = new World(folder, server, run)
    return world
  }

  /** Lists a target at the top level and serves it. */
  addTarget(path: string, content: string): void {
    this.targets.set(path, content)
    const { model } = this.repository
    const others = model.targets.filter((target) => target.path !== path)
    model.targets = [...others, targetOf(path, content)]
  }

  async init(): Promise<number> {
    const file = join(this.#folder, 'initial_root.json')
    await writeFile(file, this.initialRoot)
    return this.#run(['--metadata-dir', join(this.#folder, 'metadata'), 'init', file], 0)
  }

  /** @returns the exit code; `requests` are those of this run. */
  async run(step: Step): Promise<number> {
    step.first?.(this)
    this.requests = []
    const metadata = join(this.#folder, 'metadata')
    const common = ['--metadata-url', `${this.#url}/metadata/`, '--metadata-dir', metadata]
    const { run, days = 0 } = step
    if ('refresh' in run) return this.#run([...common, 'refresh'], days)
    const target = ['--target-name', run.download, '--target-dir', join(this.#folder, 'targets')]
    const args = [...common, ...target, '--target-base-url', `${this.#url}/targets/`, 'download']
    return this.#run(args, days)
  }

  async trusted(): Promise<Record<string, number>> {
    const folder = join(this.#folder, 'metadata')
    const names = (await readdir(folder)).filter((name) => name.endsWith('.json'))
    const entries = names.map(async (name) => {
      const { signed } = JSON.parse(await readFile(join(folder, name), 'utf8'))
      return [name.slice(0, -5), signed.version as number] as const
    })
    return Object.fromEntries(await Promise.all(entries))
  }

  trustedBytes(role: string): Promise<Uint8Array> {
    return readFile(join(this.#folder, 'metadata', `${role}.json`))
  }

  async downloads(): Promise<string[]> {
    const folder = join(this.#folder, 'targets')
    const names = (await readdir(folder)).toSorted()
    return Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((closed) => this.#server.close(closed))
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** Test names stand in the path and are quoted there, as in the suite. */
  get #url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/test%5Bone%5D`
  }

  #answer(url: string): Uint8Array | 'cut' | undefined {
    const path = url.replace('/test%5Bone%5D/', '')
    this.requests.push(path.replace(/^metadata\//, ''))
    if (this.cut.has(path)) return 'cut'
    if (path.startsWith('metadata/')) return this.repository.files.get(path.slice(9))
    const target = decodeURIComponent(path.slice('targets/'.length))
    const { consistentSnapshot } = this.repository.model
    const plain = consistentSnapshot ? target.replace(/[^/.]+\.([^/]*)$/, '$1') : target
    const content = this.targets.get(plain)
    return content === undefined ? undefined : utf8(content)
  }
}
