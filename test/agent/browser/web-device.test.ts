import { createHash, generateKeyPairSync, sign as signWithNode } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RUNTIME_VERSION } from '../../../agent/browser/web-device.ts'
import { webVerifier } from '../../../agent/browser/web-verifier.ts'
import { generatePrivateKey, nodeSigner } from '../../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../../shared/node/verifier-node.ts'
import type { PublicKey, Scheme } from '../../../shared/signing/keys.ts'
import { describeVerifier } from '../../contract/verifier.contract.ts'
import { anAssignment, aSlot } from '../../fixtures/device-builders.ts'
import { Machine } from '../../shared/update/machine.ts'
import {
  CHROMIUM,
  launchChromium,
  type PageServer,
  ROOT,
  servePage,
  withoutChromium,
} from './chromium.ts'
import type { device as pageDevice } from './device-page.ts'

type PageDevice = typeof pageDevice
declare global {
  var device: PageDevice
}

describeVerifier('WebCrypto on Node', webVerifier)

it('A browser device reports the version of ONNX Runtime Web that it is built with', () => {
  const file = readFileSync(join(ROOT, 'node_modules/onnxruntime-web/package.json'), 'utf8')
  expect((JSON.parse(file) as { version: string }).version).toBe(RUNTIME_VERSION)
})

describe.skipIf(withoutChromium)(`In ${CHROMIUM}, a browser device`, () => {
  let browser: Browser
  let context: BrowserContext
  let server: PageServer
  let page: Page
  const folder = mkdtempSync(join(tmpdir(), 'linnet-web-device-'))

  beforeAll(async () => {
    browser = await launchChromium()
    context = await browser.newContext()
    server = await servePage(`${ROOT}/test/agent/browser/device-page.ts`, () => folder)
    await reopen()
  })
  afterAll(async () => {
    await browser?.close()
    server?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** The page is closed and opened anew, as by a visitor. */
  async function reopen(): Promise<void> {
    await page?.close()
    page = await context.newPage()
    await page.goto(server.url)
    await page.waitForFunction(() => 'device' in globalThis)
  }

  function serveFile(bytes: Uint8Array, name = digest(bytes)): string {
    writeFileSync(join(folder, name), bytes)
    return name
  }
  const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
  const fetchArtifact = (...args: Parameters<PageDevice['fetchArtifact']>) =>
    page.evaluate((given) => globalThis.device.fetchArtifact(...given), args)

  function aState(generation: number) {
    const machine = new Machine()
    machine.accept(anAssignment(generation, [aSlot('current', '1.0.0')]))
    machine.install()
    return machine.state.durable
  }

  it('finds its state again after the page was closed, and the one before a damaged one', async () => {
    const states = (save: ReturnType<typeof aState> | null) =>
      page.evaluate((given) => globalThis.device.states(given), save)
    expect(await states(null)).toBeUndefined()
    await states(aState(1))
    await states(aState(2))
    await reopen()
    expect(await states(null)).toEqual(aState(2))
    await page.evaluate(() => globalThis.device.putRaw('state', { schema: 'rotten' }))
    expect(await states(null)).toEqual(aState(1))
  })

  it('keeps its spool in the order of writing, over pages', async () => {
    const spool = (append: string[], replace: string[] | null = null) =>
      page.evaluate(([a, r]) => globalThis.device.spool(a, r), [append, replace] as const)
    await spool(['a', 'b'])
    await reopen()
    expect(await spool(['c'])).toEqual(['a', 'b', 'c'])
    expect(await spool([], ['b'])).toEqual(['b'])
    expect(await spool(['d'])).toEqual(['b', 'd'])
  })

  it('stores an artifact in the origin-private file system, whole and verified', async () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 251)
    const sha256 = serveFile(bytes)
    const { kind, fetched, size, progress } = await fetchArtifact(sha256, bytes.length)
    expect(kind).toBe('origin-private file system')
    expect([fetched.ok, size]).toEqual([true, bytes.length])
    expect([progress[0], progress.at(-1)]).toEqual([0, bytes.length])
    await reopen()
    rmSync(join(folder, sha256))
    const again = await fetchArtifact(sha256, bytes.length)
    expect([again.fetched.ok, again.progress]).toEqual([true, []])
    const collect = (keep: string[]) =>
      page.evaluate(([k, s]) => globalThis.device.collect(k, s), [keep, sha256] as const)
    expect(await collect([sha256])).toBe('here')
    expect(await collect([])).toBe('artifact.missing')
  })

  it('refuses other bytes, more bytes and a full disk, and notices what rotted', async () => {
    const bytes = Uint8Array.from({ length: 1_000 }, (_, i) => i % 256)
    const forged = serveFile(new Uint8Array(1_000), digest(bytes))
    expect(await fetchArtifact(forged, 1_000)).toMatchObject({
      fetched: { error: { code: 'artifact.digest' } },
      size: 'artifact.missing',
    })
    const longer = serveFile(bytes)
    expect(await fetchArtifact(longer, 999)).toMatchObject({
      fetched: { error: { code: 'artifact.length' } },
    })
    expect(await fetchArtifact(longer, 1_000, 500)).toMatchObject({
      fetched: { error: { code: 'artifact.no_room' } },
    })
    expect((await fetchArtifact(longer, 1_000)).fetched.ok).toBe(true)
    await page.evaluate((sha256) => globalThis.device.rot(sha256), longer)
    const collect = (keep: string) =>
      page.evaluate((sha256) => globalThis.device.collect([sha256], sha256), keep)
    expect(await collect(longer)).toBe('artifact.digest')
    expect((await fetchArtifact(longer, 1_000)).size).toBe(1_000)
  })

  it('works from memory where the browser gives no storage', async () => {
    const bytes = new Uint8Array(2_000).fill(9)
    const sha256 = serveFile(bytes)
    expect(await fetchArtifact(sha256, 2_000, 1e9, false)).toMatchObject({ size: 2_000 })
  })

  it.each<[string, string[], Scheme, string]>([
    ['Ed25519 that cannot be read out', [], 'ed25519', 'not extractable'],
    ['P-256 where there is no Ed25519', ['Ed25519'], 'ecdsa-sha2-nistp256', 'not extractable'],
    ['a seed where there is neither', ['Ed25519', 'ECDSA'], 'ed25519', 'readable by this page'],
  ])('signs with %s', async (_, without, scheme, protection) => {
    const sign = () => page.evaluate((given) => globalThis.device.sign([1, 2, 3], given), without)
    const signed = await sign()
    expect(signed).toMatchObject({ key: { scheme }, protection, isRight: true })
    const { key, signature } = signed
    expect(nodeVerifier.verify(key, Uint8Array.of(1, 2, 3), Uint8Array.from(signature))).toBe(true)
    await reopen()
    // Only what lies in the records is the same key after a reload.
    if (without.length === 0) expect((await sign()).key).toEqual(key)
  })

  it.each<Scheme>(['ed25519', 'ecdsa-sha2-nistp256', 'rsassa-pss-sha256'])(
    'verifies %s as Node does, and nothing that was changed',
    async (scheme) => {
      const signer = nodeSigner(generatePrivateKey(scheme))
      const message = Uint8Array.from({ length: 100 }, (_, i) => i)
      const signature = signer.sign(message)
      expect(await verify(signer.key, message, signature)).toBe(true)
      const changed = signature.slice()
      changed[signature.length - 1]! ^= 1
      expect(await verify(signer.key, message, changed)).toBe(false)
      expect(await verify(signer.key, message.subarray(1), signature)).toBe(false)
    },
  )

  it('verifies RSA PKCS #1 v1.5 of repositories of others, and not as RSA-PSS', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const key = { keytype: 'rsa', scheme: 'rsa-pkcs1v15-sha256', keyval: { public: pem } }
    const message = Uint8Array.of(1, 2, 3)
    const signature = new Uint8Array(signWithNode('sha256', message, privateKey))
    expect(await verify(key, message, signature)).toBe(true)
    expect(await verify(key, Uint8Array.of(1, 2), signature)).toBe(false)
    expect(await verify({ ...key, scheme: 'rsassa-pss-sha256' }, message, signature)).toBe(false)
  })

  const verify = (key: PublicKey, message: Uint8Array, signature: Uint8Array) =>
    page.evaluate(([k, m, s]) => globalThis.device.verify(k, m, s), [
      key,
      [...message],
      [...signature],
    ] as const)

  describeVerifier('WebCrypto', { verify })
})
