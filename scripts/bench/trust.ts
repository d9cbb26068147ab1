/**
 * `trust`: what a cold start costs a device: ten releases under two delegations, from the first root
 * to ten verified manifests' targets. In Node beside tuf-js on the same metadata, taking turns, both
 * with files on disk and no network; and in Chromium, where there is one: with WebCrypto, and with
 * @noble/curves, which pages without a secure context must use.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BaseFetcher, Updater } from 'tuf-js'
import { createTufFiles } from '../../shared/node/tuf-files.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { refresh } from '../../shared/signing/tuf/client.ts'
import { runTufAsync, runTufSync } from '../../shared/signing/tuf/effects.ts'
import { findTargets } from '../../shared/signing/tuf/search.ts'
import {
  CHROMIUM,
  launchChromium,
  servePage,
  withoutChromium,
} from '../../test/agent/browser/chromium.ts'
import { TestClient, type TestRepository } from '../../test/shared/signing/tuf/build-repository.ts'
import { modelRepository } from '../../test/shared/signing/tuf/model-repository.ts'
import { type BenchReport, type Figure, figure } from './report.ts'

const ROUNDS = 15
const WARM_UP = 3
const CPU_MS_MAX = 25
const BROWSER_MS_MAX = 250
const TARGETS = Array.from({ length: 10 }, (_, i) => `motor/1.${i}.0/manifest.json`)
const CASE = '10 releases, 2 delegations'

export async function run(): Promise<BenchReport> {
  const nowMs = Date.now()
  const repository = modelRepository(nowMs, false)
  const memory: number[] = []
  const ours: number[] = []
  const theirs: number[] = []
  // The very first one of a process, before anything is compiled for speed.
  const first = await cpuOf(async () => inMemory(repository, nowMs))
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    const turns = [
      async () => memory.push(await cpuOf(async () => inMemory(repository, nowMs))),
      async () => ours.push(await onDisk(repository, (folder) => byLinnet(repository, folder))),
      async () => theirs.push(await onDisk(repository, (folder) => byTufJs(repository, folder))),
    ]
    for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn()
  }
  const ratios = ours.map((cpuMs, i) => cpuMs / theirs[i]!).slice(WARM_UP)
  const results: Figure[] = [
    figure({ case: CASE, metric: 'Node CPU ms, first in the process', limit: CPU_MS_MAX }, [first]),
    figure({ case: CASE, metric: 'Node CPU ms', limit: CPU_MS_MAX }, memory.slice(WARM_UP)),
    figure({ case: CASE, metric: 'CPU ms with files', limit: null }, ours.slice(WARM_UP)),
    figure({ case: CASE, metric: 'CPU ms of tuf-js', limit: null }, theirs.slice(WARM_UP)),
    figure({ case: CASE, metric: 'CPU over tuf-js', limit: null }, ratios),
  ]
  return { bench: 'trust', results: [...results, ...(await inBrowser(repository, nowMs))] }
}

async function cpuOf(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1_000
}

function inMemory(repository: TestRepository, nowMs: number): void {
  const { ports } = new TestClient(repository)
  const trusted = runTufSync(refresh(nowMs), ports)
  if (!trusted.ok) throw new Error(trusted.error.message)
  const found = runTufSync(findTargets(trusted.value, TARGETS), ports)
  if (!found.ok) throw new Error(found.error.message)
}

/** CPU of a client that starts with the first root in an empty folder. */
async function onDisk(
  repository: TestRepository,
  client: (folder: string) => Promise<void>,
): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'linnet-trust-'))
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'root.json'), repository.files.get('1.root.json')!)
    return await cpuOf(() => client(folder))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function byLinnet(repository: TestRepository, folder: string): Promise<void> {
  const files = createTufFiles(folder, 'http://localhost', nodeVerifier)
  const ports = { ...files, fetch: new TestClient(repository).ports.fetch }
  const trusted = await runTufAsync(refresh(Date.now()), ports)
  if (!trusted.ok) throw new Error(trusted.error.message)
  const found = await runTufAsync(findTargets(trusted.value, TARGETS), ports)
  if (!found.ok) throw new Error(found.error.message)
}

/** tuf-js knows the end of the chain of roots by this class, which it does not export. */
const { DownloadHTTPError } = createRequire(import.meta.url)('tuf-js/dist/error') as {
  readonly DownloadHTTPError: new (message: string, statusCode: number) => Error
}

class MemoryFetcher extends BaseFetcher {
  readonly #repository: TestRepository

  constructor(repository: TestRepository) {
    super()
    this.#repository = repository
  }

  override async fetch(url: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const bytes = this.#repository.files.get(url.split('/').at(-1)!)
    if (bytes === undefined) throw new DownloadHTTPError('not found', 404)
    return new Response(new Uint8Array(bytes)).body!
  }
}

async function byTufJs(repository: TestRepository, folder: string): Promise<void> {
  const updater = new Updater({
    ...{ metadataDir: folder, metadataBaseUrl: 'http://localhost' },
    fetcher: new MemoryFetcher(repository),
  })
  await updater.refresh()
  for (const target of TARGETS) {
    if ((await updater.getTargetInfo(target)) === undefined) throw new Error(`no ${target}`)
  }
}

async function inBrowser(repository: TestRepository, nowMs: number): Promise<Figure[]> {
  if (withoutChromium) {
    process.stderr.write(`trust: ${CHROMIUM}\n`)
    return []
  }
  const entry = join(import.meta.dirname, 'trust-page-main.ts')
  const server = await servePage(entry, () => '')
  const browser = await launchChromium()
  try {
    const page = await browser.newPage()
    await page.goto(server.url)
    await page.waitForFunction('globalThis.verifyAll !== undefined')
    const files = Object.fromEntries(
      [...repository.files].map(([path, bytes]) => [path, new TextDecoder().decode(bytes)]),
    )
    const parameters = JSON.stringify({ files, targets: TARGETS, nowMs, rounds: ROUNDS })
    const measured = (await page.evaluate(`globalThis.verifyAll(${parameters})`)) as {
      webCrypto: number[]
      plain: number[]
    }
    const limit = BROWSER_MS_MAX
    return [
      figure({ case: CASE, metric: 'Chromium ms, WebCrypto', limit }, measured.webCrypto),
      figure({ case: CASE, metric: 'Chromium ms, plain JavaScript', limit }, measured.plain),
    ]
  } finally {
    await browser.close()
    server.close()
  }
}
