/**
 * The system's Chromium for tests of pages. Where there is none they are skipped with the reason; in
 * continuous integration (LINNET_CI) its absence is a failure.
 */
import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe } from 'vitest'

const EXECUTABLE = '/usr/bin/chromium'
const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Well below the limit of a test, so that what was waited for is named. */
const ACTION_MS = 25_000

type NewPage = (options?: Parameters<Browser['newPage']>[0]) => Promise<Page>

/** One browser for all tests of the block; each page has cookies of its own. */
export function describeInChromium(name: string, body: (newPage: NewPage) => void): void {
  const isAbsent = !existsSync(EXECUTABLE) && process.env.LINNET_CI === undefined
  const title = isAbsent ? `${name} (skipped: there is no ${EXECUTABLE})` : name
  describe.skipIf(isAbsent)(title, () => {
    let browser: Browser
    beforeAll(async () => {
      browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS })
    })
    afterAll(() => browser?.close())
    body(async (options) => {
      const page = await browser.newPage({ viewport: { width: 1360, height: 860 }, ...options })
      page.setDefaultTimeout(ACTION_MS)
      return page
    })
  })
}
