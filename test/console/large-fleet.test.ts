/** 5,000 devices and 200 rollouts: everything is reachable, the page holds only what is near. */
import { expect, it } from 'vitest'
import { describeInChromium } from './chromium.ts'
import { type Fleet, startConsoleServer } from './console-server.ts'
import { cell, device, release, rollout } from './fleet-builder.ts'

const DEVICES = 5_000
const ROLLOUTS = 200
/** Rows that may be in the page at once: the screen and what is just outside. */
const ROWS_MAX = 60

function largeFleet(): Fleet {
  const names = Array.from({ length: DEVICES }, (_, i) => `device-${String(i).padStart(4, '0')}`)
  return {
    devices: names.map((name) => device(name)),
    releases: [release('1.0.0'), release('1.1.0')],
    rollouts: Array.from({ length: ROLLOUTS }, (_, i) => {
      const isOpen = i === ROLLOUTS - 1
      return rollout(`r-${i}`, {
        state: isOpen ? 'running' : 'promoted',
        createdAtMs: Date.now() - (ROLLOUTS - i) * 60_000,
        devices: isOpen ? names.map((name) => cell(name)) : [],
      })
    }),
    decisions: [],
  }
}

describeInChromium('the console with 5,000 devices and 200 rollouts', (newPage) => {
  it('lists them all, with a screenful of rows in the page, and reaches the last by scrolling', async () => {
    const server = await startConsoleServer(largeFleet())
    const page = await newPage()
    try {
      await page.goto(server.loginUrl())
      await page.goto(`${server.url}/#/devices?sort=device`)
      await page.getByText('device-0000').waitFor()
      const rows = page.locator('tr[data-row]')
      expect(await page.locator('table').getAttribute('aria-rowcount')).toBe(String(DEVICES + 1))
      await expect.poll(() => rows.count()).toBeLessThanOrEqual(ROWS_MAX)
      await page.evaluate(() => scrollTo(0, document.body.scrollHeight))
      await page.getByText('device-4999').waitFor()
      expect(await rows.count()).toBeLessThanOrEqual(ROWS_MAX)

      await page.locator('[data-search]').fill('device-2718')
      await expect.poll(() => rows.count()).toBe(1)

      await page.goto(`${server.url}/#/rollouts`)
      await page.locator('a[href="#/rollouts/r-199"]').waitFor()
      await expect.poll(() => rows.count()).toBeLessThanOrEqual(ROWS_MAX)

      await page.goto(`${server.url}/#/rollouts/r-199`)
      await page.getByText('And 4,000 more.').waitFor()
      expect(await page.locator('.strip .cell').count()).toBe(1_000)
    } finally {
      await page.close()
      await server.close()
    }
  })
})
