/** Pages with a runtime for the tests: one Chromium for a file, one page for a test. */
import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { ResolvedRelease, Runtime, RuntimeEvent } from '../../../agent/ports.ts'
import { launchChromium, type PageServer, ROOT, servePage } from './chromium.ts'
import type { BenchSettings, bench as pageBench } from './runtime-page.ts'

type PageBench = typeof pageBench
declare global {
  var bench: PageBench
}

export interface PageBenches {
  open(settings: BenchSettings): Promise<Page>
  /** Where `/files/` come from. */
  folder: string
  close(): Promise<void>
}

export async function startPageBenches(): Promise<PageBenches> {
  const browser: Browser = await launchChromium()
  // One for all pages, so that the compiled WebAssembly is cached.
  const context: BrowserContext = await browser.newContext()
  const entry = `${ROOT}/test/agent/browser/runtime-page.ts`
  const server: PageServer = await servePage(entry, () => benches.folder)
  const benches: PageBenches = {
    folder: '',
    async open(settings) {
      const page = await context.newPage()
      page.on('pageerror', (error) => console.error('page:', error.message))
      await page.goto(server.url)
      await page.waitForFunction(() => 'bench' in globalThis)
      await page.evaluate((given) => globalThis.bench.create(given), settings)
      return page
    },
    async close() {
      await browser.close()
      server.close()
    },
  }
  return benches
}

export const served = (release: ResolvedRelease) => ({
  resolved: release,
  provider: 'wasm' as const,
  modelPath: release.variant.artifact.sha256,
})

export interface BridgedRuntime extends Runtime {
  /** Hands what happened in the page to the handlers. */
  pull(): Promise<void>
}

/** The port, over the bridge between test and page. */
export function bridged(page: Page): BridgedRuntime {
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
