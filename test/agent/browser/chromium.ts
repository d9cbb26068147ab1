/**
 * Real Chromium for the tests of the browser agent: whether there is one, a bundle of the page under
 * test, and a server that isolates the page so that WebAssembly threads work. Nothing is loaded from
 * anywhere else.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, extname, join, resolve } from 'node:path'
import { build } from 'esbuild'
import { type Browser, chromium } from 'playwright-core'

export const ROOT = resolve(import.meta.dirname, '../../..')

const EXECUTABLE = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium'
const isHere = existsSync(EXECUTABLE)
/** Stands in the names of suites that need it. */
export const CHROMIUM = isHere ? 'Chromium' : `Chromium (skipped: no ${EXECUTABLE})`
/** Where everything must run, a missing browser fails instead. */
export const withoutChromium = !isHere && process.env.LINNET_CI === undefined

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // WebGPU without a GPU: the software driver inside the chromium package.
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
]

export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
    headless: true,
    args: ARGUMENTS,
    ignoreDefaultArgs: ['--disable-gpu'],
  })
}

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.css': 'text/css',
}

export interface PageServer {
  readonly url: string
  close(): void
}

/**
 * Serves `/` as an empty page that runs the bundle of `entry`, ONNX Runtime Web beside it, and
 * `/files/<name>` out of `folder`.
 */
export async function servePage(entry: string, folder: () => string): Promise<PageServer> {
  const bundle = mkdtempSync(join(tmpdir(), 'linnet-page-'))
  await bundlePage(entry, bundle)
  const script = basename(entry).replace(/\.ts$/, '.js')
  const onnx = resolve(ROOT, 'node_modules/onnxruntime-web/dist')
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const name = basename(pathname)
    const candidates = pathname.startsWith('/files/')
      ? [join(folder(), name)]
      : [join(bundle, name), join(onnx, name)]
    response.setHeader('cross-origin-opener-policy', 'same-origin')
    response.setHeader('cross-origin-embedder-policy', 'require-corp')
    if (pathname === '/') {
      response.setHeader('content-type', 'text/html')
      response.end(
        `<!doctype html><title>test</title><script type="module" src="/${script}"></script>`,
      )
      return
    }
    const file = candidates.find((path) => existsSync(path))
    if (file === undefined) {
      response.statusCode = 404
      response.end()
      return
    }
    response.setHeader('cache-control', 'max-age=3600')
    response.setHeader('content-type', MEDIA_TYPES[extname(file)] ?? 'application/octet-stream')
    void readFile(file).then((bytes) => response.end(bytes))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    close() {
      server.close()
      server.closeAllConnections()
      rmSync(bundle, { recursive: true, force: true })
    },
  }
}

async function bundlePage(entry: string, outdir: string): Promise<void> {
  await build({
    entryPoints: [entry, resolve(ROOT, 'agent/browser/runtime-worker-main.ts')],
    outdir,
    entryNames: '[name]',
    bundle: true,
    splitting: true,
    format: 'esm',
    target: 'es2022',
    conditions: ['onnxruntime-web-use-extern-wasm'],
    logLevel: 'warning',
  })
}
