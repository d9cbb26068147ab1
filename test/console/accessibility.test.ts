/**
 * What can be checked of WCAG 2.2 without a person: names of controls, captions and heads of tables,
 * one first heading, contrast of every text (1.4.3, AA), in both colour schemes and on every view.
 */
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { describeInChromium } from './chromium.ts'
import { type ConsoleServer, startConsoleServer } from './console-server.ts'
import { storyFleet } from './story-fleet.ts'

const VIEWS = [
  '#/',
  '#/rollouts',
  '#/rollouts/r-c204',
  '#/rollouts/r-91bc',
  '#/devices',
  '#/devices/motor-06',
  '#/releases',
  '#/releases/motor-vibration/1.3.0',
  '#/decisions',
  '#/rollouts/none-such',
]
const CONTRAST_MIN = 4.5

/** Runs in the page: what is wrong with it, one line each. */
function faultsOfPage(contrastMin: number): string[] {
  const faults: string[] = []
  const told = (element: Element) => `${element.outerHTML.slice(0, 90)}`
  const isHidden = (element: Element) =>
    element.closest('[aria-hidden="true"], .hidden, .skip') !== null ||
    (element as HTMLElement).offsetParent === null
  for (const element of document.querySelectorAll('a[href], button, input, summary')) {
    const label = element instanceof HTMLInputElement ? element.labels?.[0]?.textContent : undefined
    const name = element.getAttribute('aria-label') ?? label ?? element.textContent
    if (name?.trim() === '') faults.push(`no name: ${told(element)}`)
  }
  for (const table of document.querySelectorAll('table')) {
    if (table.caption === null) faults.push(`no caption: ${told(table)}`)
    const heads = [...table.querySelectorAll('th')]
    if (heads.some((head) => head.scope === '')) faults.push(`head without scope: ${told(table)}`)
  }
  if (document.querySelectorAll('h1').length !== 1) faults.push('not one first heading')
  if (document.querySelectorAll('main').length !== 1) faults.push('not one main')
  const rgba = (color: string) => {
    const numbers = (color.match(/[\d.]+(e-?\d+)?/g) ?? []).map(Number)
    const scale = color.startsWith('color(') ? 255 : 1
    return { rgb: numbers.slice(0, 3).map((n) => n * scale), alpha: numbers[3] ?? 1 }
  }
  const luminance = (rgb: readonly number[]) => {
    const [r = 0, g = 0, b = 0] = rgb.map((channel) => {
      const c = channel / 255
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const backgroundOf = (element: Element | null): readonly number[] => {
    if (element === null) return [255, 255, 255]
    const { rgb, alpha } = rgba(getComputedStyle(element).backgroundColor)
    return alpha === 1 ? rgb : backgroundOf(element.parentElement)
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = texts.nextNode(); node !== null; node = texts.nextNode()) {
    const element = node.parentElement
    if (element === null || node.textContent?.trim() === '' || isHidden(element)) continue
    const ink = luminance(rgba(getComputedStyle(element).color).rgb)
    const ground = luminance(backgroundOf(element))
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)
    if (ratio < contrastMin) faults.push(`contrast ${ratio.toFixed(2)}: ${told(element)}`)
  }
  return [...new Set(faults)]
}

describeInChromium('every view of the console', (newPage) => {
  let server: ConsoleServer
  beforeAll(async () => {
    server = await startConsoleServer(storyFleet())
  })
  afterAll(() => server?.close())

  const show = async (page: Page, hash: string): Promise<void> => {
    await page.goto(`${server.url}/${hash}`)
    await page.waitForSelector('main h1')
    // The view before this one has a heading too: let the change be painted.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))))
  }
  const faultsOf = async (page: Page, hash: string): Promise<string[]> => {
    await show(page, hash)
    return page.evaluate(faultsOfPage, CONTRAST_MIN)
  }

  it.each(['light', 'dark'] as const)(
    'has names, captions, headings and contrast, %s',
    async (colorScheme) => {
      const page = await newPage({ colorScheme })
      const signedOut = await faultsOf(page, '#/')
      await page.goto(server.loginUrl())
      await page.locator('.attention').waitFor()
      const found: Record<string, string[]> = { signedOut }
      for (const hash of VIEWS) found[hash] = await faultsOf(page, hash)
      await page.close()
      expect(Object.entries(found).filter(([, faults]) => faults.length > 0)).toEqual([])
    },
  )

  it('does not scroll sideways on a telephone', async () => {
    const page = await newPage({ viewport: { width: 390, height: 844 } })
    await page.goto(server.loginUrl())
    await page.locator('.attention').waitFor()
    const tooWide: string[] = []
    for (const hash of VIEWS) {
      await show(page, hash)
      const width = await page.evaluate(() => document.documentElement.scrollWidth)
      if (width > 390) tooWide.push(`${hash}: ${width}`)
    }
    await page.close()
    expect(tooWide).toEqual([])
  })
})
