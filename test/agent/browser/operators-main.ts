/**
 * `npx tsx test/agent/browser/operators-main.ts wasm|webgpu [EACH [FROM]]`: every (EACH-th) operator
 * case in real Chromium, on ONNX Runtime Web itself and on Linnet's runtime, and how the two differ;
 * with LINNET_CASES=DIR the cases of a folder of ONNX backend tests. By hand: all of ours take a
 * quarter of an hour on wasm. Exit code 1 when the sets differ.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { BrowserContext, Page } from 'playwright-core'
import type { ResolvedRelease } from '../../../agent/ports.ts'
import { encodeGolden } from '../../../shared/model/golden.ts'
import { goldenTensor } from '../../../shared/model/golden-compare.ts'
import { programAt } from '../../../shared/node/program.ts'
import { chosenCases } from '../../conformance/chosen-cases.ts'
import { PROFILE } from '../runtime/release-builder.ts'
import { launchChromium, ROOT, servePage } from './chromium.ts'
import type { push as pushPage, WebProvider } from './operators-page.ts'

declare global {
  var push: typeof pushPage
}

const RAW_MS_MAX = 60_000
const [asked = 'wasm', each = '1', from = '0'] = process.argv.slice(2)
const provider: WebProvider = asked === 'webgpu' ? 'webgpu' : 'wasm'
const profile = { ...PROFILE, executionProviders: [provider] }
const cases = chosenCases()
const wanted = cases.map((_, i) => i).filter((i) => i >= Number(from) && i % Number(each) === 0)
const folder = mkdtempSync(join(tmpdir(), 'linnet-push-'))
const say = (text: string): void => void process.stdout.write(`${text}\n`)

/** What release and golden vectors would be; a case that has none tells why. */
async function describeCases(): Promise<ReadonlyMap<number, ResolvedRelease | string>> {
  const { file, execArgv } = programAt(import.meta.url, '../runtime/operators-main')
  const found = new Map<number, ResolvedRelease | string>()
  for (;;) {
    const left = wanted.filter((i) => !found.has(i))
    if (left.length === 0) return found
    const args = [...execArgv, file, 'describe', left.join(','), folder]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    for await (const line of createInterface({ input: child.stdout })) {
      const { i, why, release } = JSON.parse(line)
      found.set(i, release ?? why)
    }
    const died = wanted.find((i) => !found.has(i))
    if (died !== undefined) found.set(died, 'the process ended')
  }
}

/** Where the page finds them. */
function layOut(i: number): void {
  const { model, feeds } = cases[i]!
  writeFileSync(join(folder, `${i}.onnx`), model)
  writeFileSync(
    join(folder, `${i}.feeds`),
    encodeGolden([{ inputs: feeds.map(goldenTensor), outputs: [] }]),
  )
}

async function openPage(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage()
  page.on('pageerror', (error) => say(`page: ${error.message}`))
  await page.goto(url)
  await page.waitForFunction(() => 'push' in globalThis)
  return page
}

function within<T>(ms: number, promise: Promise<T>): Promise<T | 'late'> {
  const late = new Promise<'late'>((resolve) => setTimeout(() => resolve('late'), ms).unref())
  return Promise.race([promise, late])
}

async function main(): Promise<void> {
  const browser = await launchChromium()
  const context = await browser.newContext()
  const entry = `${ROOT}/test/agent/browser/operators-page.ts`
  const server = await servePage(entry, () => folder)
  const releases = await describeCases()
  let page = await openPage(context, server.url)
  await page.evaluate((p) => globalThis.push.open(p), profile)
  const count = { raw: 0, linnet: 0, different: 0, pages: 0 }
  for (const i of wanted) {
    const { name } = cases[i]!
    layOut(i)
    const args = [i, provider] as const
    const raw = await within(
      RAW_MS_MAX,
      page.evaluate(([n, p]) => globalThis.push.raw(n, p), args),
    ).catch((cause: unknown) => String(cause))
    const release = releases.get(i)
    const ours =
      typeof release === 'object'
        ? await page.evaluate(([n, r]) => globalThis.push.linnet(n, r), [i, release] as const)
        : { why: release ?? 'not described', differs: '', events: '[]' }
    if (raw === '') count.raw += 1
    if (ours.why === '') count.linnet += 1
    if ((raw === '') !== (ours.why === '')) {
      count.different += 1
      say(`DIFFERENT ${i} ${name}: raw ${raw || 'passes'}; linnet ${ours.why || 'passes'}`)
    } else if (ours.differs !== '') say(`values ${i} ${name}: ${ours.differs}`)
    else if (raw !== '') say(`neither ${i} ${name}: raw ${raw.slice(0, 120)}; ${ours.why}`)
    if (ours.events !== '[]') say(`events ${i} ${name}: ${ours.events.slice(0, 300)}`)
    // ONNX Runtime Web on the page itself does not survive what it was given.
    if (raw === 'late' || /Aborted|RuntimeError|out of bounds|unreachable/.test(raw)) {
      await page.close()
      page = await openPage(context, server.url)
      await page.evaluate((p) => globalThis.push.open(p), profile)
      count.pages += 1
    }
  }
  say(JSON.stringify({ provider, cases: wanted.length, ...count }))
  await browser.close()
  server.close()
  process.exitCode = count.different === 0 ? 0 : 1
}

await main().finally(() => rmSync(folder, { recursive: true, force: true }))
