import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import type { ResolvedRelease, Runtime, RuntimeEvent } from '../../../agent/ports.ts'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'
import { type RuntimeBench, runtimeContract } from '../../contract/runtime.contract.ts'
import { createBenchReleases } from '../runtime/bench-releases.ts'
import { PROFILE } from '../runtime/release-builder.ts'
import {
  CHROMIUM,
  launchChromium,
  type PageServer,
  ROOT,
  servePage,
  withoutChromium,
} from './chromium.ts'
import type { BenchSettings, bench } from './runtime-page.ts'

type PageBench = typeof bench
declare global {
  var bench: PageBench
}

const WASM: FirmwareProfile = { ...PROFILE, executionProviders: ['wasm'] }
const SETTINGS: BenchSettings = { profile: WASM, gpu: false, threads: 2 }

let browser: Browser
/** One for all pages, so that the compiled WebAssembly is cached. */
let context: BrowserContext
let server: PageServer
let folder = ''

async function openBench(settings: BenchSettings): Promise<Page> {
  const page = await context.newPage()
  page.on('pageerror', (error) => console.error('page:', error.message))
  await page.goto(server.url)
  await page.waitForFunction(() => 'bench' in globalThis)
  await page.evaluate((given) => globalThis.bench.create(given), settings)
  return page
}

const served = (release: ResolvedRelease) => ({
  resolved: release,
  provider: 'wasm' as const,
  modelPath: release.variant.artifact.sha256,
})

/** The port, over the bridge between test and page. */
function bridged(page: Page): Runtime & { pull(): Promise<void> } {
  const handlers: ((event: RuntimeEvent) => void)[] = []
  async function pull(): Promise<void> {
    const events = await page.evaluate(() => JSON.stringify(globalThis.bench.takeEvents()))
    for (const event of JSON.parse(events) as RuntimeEvent[]) {
      for (const handler of handlers) handler(event)
    }
  }
  return {
    pull,
    onEvent: (handler) => void handlers.push(handler),
    qualify: (release, { aborted }) =>
      page.evaluate(([r, a]) => globalThis.bench.qualify(r, a), [release, aborted] as const),
    serve: (plan) => page.evaluate((given) => globalThis.bench.serve(given), plan),
    async close() {
      await page.evaluate(() => globalThis.bench.close())
      await pull()
    },
  }
}

const infer = (x0: number) =>
  JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [x0, 0] }] })

function ask(page: Page, path: string, body: string | null, headers: Record<string, string> = {}) {
  return page.evaluate(([p, b, h]) => globalThis.bench.ask(p, b, h), [path, body, headers] as const)
}

async function askUntil(page: Page, status: number): Promise<void> {
  await expect
    .poll(async () => (await ask(page, '/v2/models/tiny/infer', infer(1))).status, {
      timeout: 20_000,
    })
    .toBe(status)
}

async function createBench(): Promise<RuntimeBench> {
  const releases = createBenchReleases()
  folder = releases.folder
  const page = await openBench(SETTINGS)
  const runtime = bridged(page)
  return {
    runtime,
    provider: 'wasm',
    ...releases,
    served,
    settle: async (promise) => {
      const settled = await promise
      if (!page.isClosed()) await runtime.pull()
      return settled
    },
    async traffic() {
      await askUntil(page, 200)
      for (let i = 0; i < 20; i++) await ask(page, '/v2/models/tiny/infer', infer(i - 10))
      await page.waitForTimeout(150)
      await runtime.pull()
    },
    killHost: () => page.evaluate(() => globalThis.bench.restartHost()),
    async pass(ms) {
      await page.waitForTimeout(ms)
      await runtime.pull()
    },
    async dispose() {
      await page.close()
      releases.dispose()
    },
  }
}

describe.skipIf(withoutChromium)(`In ${CHROMIUM}`, () => {
  beforeAll(async () => {
    browser = await launchChromium()
    context = await browser.newContext()
    server = await servePage(`${ROOT}/test/agent/browser/runtime-page.ts`, () => folder)
  })
  afterAll(async () => {
    await browser?.close()
    server?.close()
  })

  runtimeContract('the runtime in a worker', createBench)
})
