/**
 * `linnet tuf-client --browser`: the same client in headless Chromium, for whoever wants to see that
 * browsers verify as Node does. This side has files and network and decides nothing; the page
 * (agent/browser/tuf-client) verifies. Needs Chromium and playwright-core, which products do not.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ProblemError, type Result } from '../../shared/kernel/result.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { fetchBounded } from '../../shared/node/http-download.ts'
import { createTufFiles, joinUrl } from '../../shared/node/tuf-files.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'

export interface BrowserTask {
  readonly metadataDir: string
  readonly metadataUrl: string
  /** What to download, from where, to which file; null only refreshes. */
  readonly target: { readonly name: string; readonly baseUrl: string; readonly file: string } | null
}

const EXECUTABLE = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium'
const TARGET_LIMITS = { deadlineMs: 600_000, bytesPerSecondMin: 64 }
const MEDIA_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
}

/** Errors (thrown): `tuf_client.no_browser`, `tuf_client.no_page`. */
export async function runTufClientInBrowser(task: BrowserTask): Promise<Result<undefined>> {
  const folder = pageFolder()
  const { chromium } = await loadPlaywright()
  const server = await servePage(folder)
  const { port } = server.address() as AddressInfo
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage()
    for (const [name, work] of Object.entries(bridgeTo(task))) {
      await page.exposeFunction(name, work)
    }
    // Loopback is a secure context, so that WebCrypto is there.
    await page.goto(`http://127.0.0.1:${port}/`)
    await page.waitForFunction('globalThis.runTufClient !== undefined')
    const target = JSON.stringify(task.target?.name ?? null)
    return await page.evaluate(`globalThis.runTufClient(${Date.now()}, ${target})`)
  } finally {
    await browser.close()
    server.close()
  }
}

function bridgeTo({ metadataDir, metadataUrl, target }: BrowserTask) {
  const files = createTufFiles(metadataDir, metadataUrl, nodeVerifier)
  const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'base64')
  const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const textOrNull = (bytes: Uint8Array | undefined) => (bytes === undefined ? null : textOf(bytes))
  return {
    bridgeLoad: async (role: string) => textOrNull(await files.load(role)),
    bridgePersist: async (role: string, text: string) => files.persist(role, bytesOf(text)),
    bridgeForget: async (role: string) => files.forget(role),
    async bridgeFetch(what: 'metadata' | 'target', path: string, bytesMax: number) {
      const reply =
        what === 'metadata'
          ? await files.fetch(path, bytesMax)
          : await fetchBounded(joinUrl(target?.baseUrl ?? '', path), { ...TARGET_LIMITS, bytesMax })
      return reply.kind === 'fetched' ? { kind: reply.kind, bytes: textOf(reply.bytes) } : reply
    },
    bridgeHeldTarget: async (bytesMax: number) =>
      target === null
        ? null
        : textOrNull(await readFileBounded(target.file, bytesMax).catch(() => undefined)),
    async bridgeKeepTarget(text: string) {
      if (target !== null) await writeFileAtomic(target.file, bytesOf(text))
    },
  }
}

/** Beside the built program, or in the build of the source tree. */
function pageFolder(): string {
  const places = [
    '../../agent/browser/tuf-client/public',
    '../../dist/agent/browser/tuf-client/public',
  ]
  const folders = places.map((place) => fileURLToPath(new URL(place, import.meta.url)))
  const folder = folders.find((path) => existsSync(join(path, 'main.js')))
  if (folder !== undefined) return folder
  throw new ProblemError({
    code: 'tuf_client.no_page',
    message: 'The page of the TUF client is not built.',
    next: 'npm run build',
  })
}

async function loadPlaywright() {
  const missing = (found: string): never => {
    throw new ProblemError({
      code: 'tuf_client.no_browser',
      message: '--browser needs Chromium and playwright-core.',
      found,
      next: 'npm install playwright-core, and set CHROMIUM_PATH, or leave --browser out',
    })
  }
  if (!existsSync(EXECUTABLE)) missing(`no ${EXECUTABLE}`)
  return import('playwright-core').catch(() => missing('no playwright-core'))
}

async function servePage(folder: string): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const name = pathname === '/' ? 'index.html' : basename(pathname)
    readFile(join(folder, name)).then(
      (body) => {
        const type = MEDIA_TYPES[extname(name)] ?? 'application/octet-stream'
        response.writeHead(200, { 'content-type': type }).end(body)
      },
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}
