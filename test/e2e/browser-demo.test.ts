/**
 * The demo page in real Chromium as a device of a real controller: it joins, proves, serves, takes part
 * in a canary, and is the same device after a reload.
 */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { unwrap } from '../../shared/kernel/result.ts'
import { CHROMIUM, launchChromium, withoutChromium } from '../agent/browser/chromium.ts'
import { buildStage, type Stage, servesOnly, until } from './stage.ts'

const MODEL = 'motor-vibration'
const RELEASES = new URL('../../controller/demo/models/', import.meta.url).pathname
const POLICY = {
  ...{ minRequests: 20, minRequestsPerProfile: 5, labels: 'if_any' as const },
  ...{ errorRateMax: 0.2, latencyBadShareMax: null, qualityDropMax: null },
}

describe.skipIf(withoutChromium)(`The demo page in ${CHROMIUM}`, { timeout: 180_000 }, () => {
  let stage: Stage
  let browser: Browser
  let page: Page
  /** What the page complained about: a blocked script would stand here. */
  const complaints: string[] = []
  const text = async (id: string) => (await page.locator(`#${id}`).textContent()) ?? ''
  const rollouts = async () => unwrap(await stage.client.call('rolloutList', {})).rollouts
  const who = async () => (await text('who')).split(' ')[0] ?? ''

  beforeAll(async () => {
    stage = await buildStage({})
    await stage.startController('--window-seconds', '1')
    await stage.tell('key', 'new')
    for (const version of ['1.0.0', '1.1.0']) {
      const spec = `${RELEASES}${MODEL}/${version}/release.json`
      await stage.publish(`${MODEL}@${version}`, '--spec', spec)
    }
    browser = await launchChromium()
    page = await browser.newPage()
    page.setDefaultTimeout(60_000)
    page.on('pageerror', ({ message }) => complaints.push(message))
    page.on('console', (message) => {
      // The client asks for the next root until there is none.
      const isExpected = message.location().url.endsWith('.root.json')
      if (message.type() === 'error' && !isExpected) complaints.push(message.text())
    })
  }, 240_000)
  afterAll(async () => {
    await browser?.close()
    await stage?.remove()
  })

  it('asks for a token, and says what is wrong with one', async () => {
    await page.goto(`${stage.url}/demo`)
    await page.getByLabel('Enrolment token').fill('not a token')
    await page.getByRole('button', { name: 'Join' }).click()
    await page.getByText('enrolment.token').waitFor()
  })

  it('joins with the token of the address, proves the release and answers', async () => {
    const { token } = await stage.tell<{ token: string }>('device', 'token')
    await page.goto('about:blank')
    await page.goto(`${stage.url}/demo/#token=${token}`)
    await page.getByText('● connected').waitFor()
    expect(page.url()).toBe(`${stage.url}/demo/`)
    await stage.startRollout({
      ...{ model: MODEL, candidate: '1.0.0', baseline: null, policy: POLICY },
      waves: [{ percent: 100, trafficPercent: 100 }],
    })
    await page.locator('#arms .arm.baseline').waitFor({ timeout: 90_000 })
    expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true)
    expect(await text('steps')).toContain(`${MODEL}/1.0.0/fp32.onnx is signed by the publishers`)
    expect(await text('qualification')).toMatch(/wasm .*serves/)
    expect(await text('trust')).toContain('assignment')
    expect(complaints).toEqual([])
  })

  it('is a device like any other to the controller, with its record and its windows', async () => {
    const name = await who()
    await until('1.0.0 reported', async () => servesOnly(await stage.device(name), MODEL, '1.0.0'))
    const device = await stage.device(name)
    expect(device.facts).toMatchObject({ runtimeVersion: '1.30.0', labels: { kind: 'browser' } })
    expect(device.report?.slots[0]?.provider).toBe('wasm')
    await until('the first release promoted', async () => {
      const [first] = await rollouts()
      return first?.state === 'promoted'
    })
    const requests = async () =>
      (await stage.stored(MODEL)).reduce((sum, row) => sum + row.requests, 0)
    await until('its windows', async () => (await requests()) > 0)
  })

  it('takes part in a canary and shows which arm answered', async () => {
    await stage.startRollout({
      ...{ model: MODEL, candidate: '1.1.0', baseline: '1.0.0', policy: POLICY },
      waves: [{ percent: 100, trafficPercent: 50 }],
    })
    await page.locator('#arms .arm.canary').waitFor({ timeout: 90_000 })
    expect(await text('arms')).toMatch(/1\.1\.0 fp32\s*canary/)
  })

  it('is the same device after a reload, and serves without joining again', async () => {
    const name = await who()
    await page.reload()
    await page.locator('#arms .arm').first().waitFor({ timeout: 60_000 })
    expect(await who()).toBe(name)
    await page.getByText('● connected').waitFor()
    expect(await text('log')).not.toContain('bringing a release here')
    // What it proved holds: this browser signed it, and is the same.
    const { notices } = await stage.device(name)
    expect(notices.filter(({ kind }) => kind === 'proved_again')).toEqual([])
    const { devices } = await stage.tell<{ devices: unknown[] }>('device', 'list')
    expect(devices).toHaveLength(1)
    expect(complaints).toEqual([])
  })
})
