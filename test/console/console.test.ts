/** The console in a real browser, over the real HTTP application: what a person sees and can do. */
import type { Page } from 'playwright-core'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Role } from '../../shared/model/role.ts'
import { describeInChromium } from './chromium.ts'
import { type ConsoleServer, startConsoleServer } from './console-server.ts'
import { storyFleet } from './story-fleet.ts'

describeInChromium('the console', (newPage) => {
  let server: ConsoleServer
  let page: Page
  const faults: string[] = []

  beforeEach(async () => {
    server = await startConsoleServer(storyFleet())
    page = await newPage()
    faults.length = 0
    page.on('pageerror', (error) => faults.push(error.message))
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) faults.push(message.text())
    })
  })
  afterEach(async () => {
    await page.close()
    await server.close()
    expect(faults).toEqual([])
  })

  const open = async (hash: string, role?: Role): Promise<void> => {
    await page.goto(server.loginUrl(role))
    await page.goto(`${server.url}/${hash}`)
    await page.waitForSelector('main h1')
  }
  const update = (id: string, sentence: string): void => {
    server.fleet.rollouts = server.fleet.rollouts.map((rollout) =>
      rollout.id === id ? { ...rollout, reason: { code: 'observing', sentence } } : rollout,
    )
    server.changed('rollout', id)
  }

  it('shows on its first page what needs a person, worst first, each with its command', async () => {
    await open('#/')
    const rows = page.locator('.attention > li')
    await rows.first().waitFor()
    expect(await rows.locator('.badge').allInnerTexts()).toEqual([
      expect.stringContaining('rolled back'),
      expect.stringContaining('degraded'),
      expect.stringContaining('awaiting approval'),
      expect.stringContaining('lost'),
    ])
    expect(await rows.locator('code').allInnerTexts()).toEqual([
      'linnet rollout why r-91bc',
      'linnet device show motor-06',
      'linnet rollout approve r-e8d0',
      'linnet device show motor-08',
    ])
  })

  it('follows the event stream without a reload', async () => {
    await open('#/rollouts/r-c204')
    await page.getByText('6 of 24 devices serve it').first().waitFor()
    update('r-c204', 'Wave 2 of 4: everything is different now.')
    await page.getByText('everything is different now').first().waitFor()
  })

  it('repaints at most once a second, however much changes', async () => {
    await open('#/rollouts/r-c204')
    await page.locator('[data-because]').waitFor()
    await page.evaluate(() => {
      const seen: [atMs: number, text: string][] = []
      Object.assign(window, { seen })
      const because = document.querySelector('[data-because]')!
      const note = () => seen.push([performance.now(), because.textContent ?? ''])
      new MutationObserver(note).observe(because, {
        subtree: true,
        characterData: true,
        childList: true,
      })
    })
    for (let i = 1; i <= 40; i++) {
      update('r-c204', `Step ${i}.`)
      await page.waitForTimeout(50)
    }
    await page.getByText('Step 40.').first().waitFor()
    const seen = await page.evaluate(() => (window as unknown as { seen: [number, string][] }).seen)
    const [firstMs = 0] = seen[0] ?? []
    const [lastMs = 0, text] = seen.at(-1) ?? []
    // Counted by the page's own clock, for 40 changes may take long.
    expect(seen.length - 1).toBeLessThanOrEqual(Math.ceil((lastMs - firstMs) / 1_000))
    expect(seen.length).toBeLessThan(20)
    expect(text).toBe('Step 40.')
  })

  it('says when the controller is gone, since when, and recovers by itself', async () => {
    await open('#/rollouts')
    await page.locator('.top .mark', { hasText: 'live' }).waitFor()
    await server.vanish()
    await page.locator('[data-stale]').waitFor()
    expect(await page.locator('[data-stale]').innerText()).toMatch(/No news .* for 00:0\d/)
    await server.comeBack()
    await page.locator('[data-stale]').waitFor({ state: 'detached' })
    update('r-c204', 'It goes on after the pause.')
    await page.getByText('It goes on after the pause.').first().waitFor()
  })

  it('walks lines with j and k, opens with Enter, searches with /, helps with ?', async () => {
    await open('#/rollouts')
    await page.locator('tr[data-row]').first().waitFor()
    const focused = () => page.evaluate(() => document.activeElement?.textContent ?? '')
    await page.keyboard.press('j')
    expect(await focused()).toContain('1.3.1')
    await page.keyboard.press('j')
    await page.keyboard.press('j')
    expect(await focused()).toContain('1.2.0')
    await page.keyboard.press('k')
    expect(await focused()).toContain('1.3.0')
    await page.keyboard.press('/')
    await page.keyboard.type('rolled')
    await expect.poll(() => page.url()).toContain('q=rolled')
    await expect.poll(() => page.locator('tr[data-row]').count()).toBe(1)
    await page.keyboard.press('Escape')
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.press('j')
    await page.keyboard.press('Enter')
    await expect.poll(() => page.url()).toContain('#/rollouts/r-91bc')
  })

  it('loses no key that comes before a dialog has told that it is closed', async () => {
    await open('#/rollouts?q=rolled')
    await page.locator('tr[data-row]').first().waitFor()
    // Keys wait while the page computes, and then come in one go.
    await page.evaluate(() => {
      setTimeout(() => {
        const untilMs = performance.now() + 1_000
        while (performance.now() < untilMs);
      })
    })
    await Promise.all(
      ['?', 'Escape', '?', 'Escape', 'j', 'Enter'].map((key) => page.keyboard.press(key)),
    )
    await expect.poll(() => page.url()).toContain('#/rollouts/r-91bc')
  })

  it('gives the focus back when its dialog is closed by its button', async () => {
    await open('#/rollouts')
    const first = page.locator('tr[data-row] a').first()
    await first.focus()
    await page.keyboard.press('?')
    await page.getByRole('button', { name: 'Close' }).click()
    await expect.poll(() => first.evaluate((link) => link === document.activeElement)).toBe(true)
  })

  it('goes to anything by name with Ctrl-K', async () => {
    await open('#/')
    await page.keyboard.press('Control+k')
    await page.keyboard.type('motor-17')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'motor-17' }).waitFor()
  })

  it('gives a reversible command once per click, however often it is clicked, and can undo it', async () => {
    await open('#/rollouts/r-c204')
    await page.locator('[data-command=pause]').dblclick()
    await page.getByText('Paused by ada.').first().waitFor()
    expect(server.commands).toEqual([{ id: 'r-c204', command: 'pause', full: false }])
    await page.locator('[data-undo]').click()
    await page.getByText('Resumed by ada.').first().waitFor()
    expect(server.commands.map(({ command }) => command)).toEqual(['pause', 'resume'])
  })

  it('asks before it rolls back: effect in numbers, version to type, command line beside it', async () => {
    await open('#/rollouts/r-c204')
    await page.locator('[data-command=rollback]').click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('5 devices go back to 1.1.0').waitFor()
    await dialog.getByText('linnet rollout rollback r-c204').waitFor()
    await dialog.locator('[data-confirm]').click({ force: true })
    expect(server.commands).toEqual([])
    await dialog.getByRole('textbox').fill('1.3.0')
    await dialog.locator('[data-confirm]').click()
    await page.getByText('Rolled back by ada.').first().waitFor()
    expect(server.commands).toEqual([{ id: 'r-c204', command: 'rollback', full: false }])
  })

  it('has a stale click refused, and says so with the code', async () => {
    await open('#/rollouts/r-c204')
    await page.locator('[data-command=promote]').click()
    server.fleet.rollouts = server.fleet.rollouts.map((rollout) =>
      rollout.id === 'r-c204' ? { ...rollout, wave: 2 } : rollout,
    )
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('textbox').fill('1.3.0')
    await dialog.locator('[data-confirm]').click()
    await page.getByText('rollout.stale').waitFor()
    expect(server.commands).toEqual([])
  })

  it('says at a disabled button why: state or role', async () => {
    await open('#/rollouts/r-91bc')
    await page.getByText('Not possible now').click()
    await page.getByText('It is rolled back; this needs running.').first().waitFor()
    await open('#/rollouts/r-c204', 'viewer')
    await page.getByText('Not possible now').click()
    await page.getByText('It takes the role operator or admin; you are viewer.').first().waitFor()
    await page.locator('[data-command=pause]').click({ force: true })
    expect(server.commands).toEqual([])
  })

  it('shows who is not signed in how to, and lets in whoever pastes a link', async () => {
    await page.goto(`${server.url}/#/rollouts`)
    await page.getByRole('heading', { name: 'Sign in with a one-time link' }).waitFor()
    await page.getByText('linnet login').waitFor()
    await page.getByLabel('Link or code').fill('not a link')
    await page.getByText('This is no login link').waitFor()
    await page.getByLabel('Link or code').fill(server.loginUrl())
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { level: 1, name: 'Fleet plant-1' }).waitFor()
  })

  it('keeps a filter in the address, so that it can be sent to somebody', async () => {
    await open('#/devices')
    await page.getByRole('button', { name: /degraded/ }).click()
    const shared = page.url()
    expect(shared).toContain('state=degraded')
    await page.goto('about:blank')
    await page.goto(shared)
    await expect.poll(() => page.locator('tr[data-row]').count()).toBe(1)
  })
})
