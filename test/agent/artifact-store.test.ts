import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createArtifactStore } from '../../agent/artifact/artifact-store.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'

const MODEL = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 251)
const ARTIFACT = { file: 'fp32.onnx', sha256: sha256Hex(MODEL), length: MODEL.length }
const RETRIEVAL = { deadlineMs: 20_000, bytesPerSecondMin: 1_000, windowMs: 10_000 }
/** For servers that are slow on purpose; a busy machine is slow by itself. */
const IMPATIENT = { ...RETRIEVAL, windowMs: 200 }

type Fault = (request: IncomingMessage, response: ServerResponse, from: number) => void

/** The honest answer, with ranges. */
const honest: Fault = (_, response, from) => {
  const range = `bytes ${from}-${MODEL.length - 1}/${MODEL.length}`
  response.writeHead(206, { 'content-range': range }).end(MODEL.subarray(from))
}
const corrupt = (): Uint8Array => {
  const bytes = Uint8Array.from(MODEL)
  bytes[100_000]! ^= 1
  return bytes
}

let folder: string
let server: Server
let faults: Fault[]
let ranges: string[]
const signal = new AbortController().signal

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'linnet-artifacts-'))
  faults = []
  ranges = []
  server = createServer((request, response) => {
    ranges.push(request.headers.range ?? '')
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const fault = faults.shift() ?? honest
    fault(request, response, from)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
  await rm(folder, { recursive: true, force: true })
})

const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/model`
const aStore = (bytesMax = 10_000_000, retrieval = RETRIEVAL) =>
  createArtifactStore({ folder, bytesMax, retrieval })
const codeOf = (result: { ok: boolean; error?: { code: string } }) => result.error?.code ?? 'ok'

/** Sends some bytes, then breaks the connection. */
const breakAfter =
  (bytes: number): Fault =>
  (_, response, from) => {
    const range = `bytes ${from}-${MODEL.length - 1}/${MODEL.length}`
    response.writeHead(206, { 'content-range': range, 'content-length': MODEL.length - from })
    response.write(MODEL.subarray(from, from + bytes), () => response.destroy())
  }

describe('a download', () => {
  it('has its final name only when it is whole, and is then read back and hashed', async () => {
    const store = aStore()
    unwrap(await store.fetch(ARTIFACT, url(), signal))
    expect(await readdir(folder)).toEqual([ARTIFACT.sha256])
    expect(sha256Hex(unwrap(await store.read(ARTIFACT.sha256, ARTIFACT.length)))).toBe(
      ARTIFACT.sha256,
    )
  })

  it('of a file that is here already asks nobody', async () => {
    const store = aStore()
    unwrap(await store.fetch(ARTIFACT, url(), signal))
    unwrap(await store.fetch(ARTIFACT, url(), signal))
    expect(ranges).toEqual(['bytes=0-'])
  })

  it('that broke goes on where it stopped, in another store too', async () => {
    faults = [breakAfter(120_000)]
    expect(codeOf(await aStore().fetch(ARTIFACT, url(), signal))).toBe('net.interrupted')
    const part = await readFile(join(folder, `${ARTIFACT.sha256}.part`))
    expect(part.length).toBeGreaterThan(0)
    expect(part.length).toBeLessThanOrEqual(120_000)
    unwrap(await aStore().fetch(ARTIFACT, url(), signal))
    expect(ranges).toEqual(['bytes=0-', `bytes=${part.length}-`])
    expect(sha256Hex(await readFile(join(folder, ARTIFACT.sha256)))).toBe(ARTIFACT.sha256)
  })

  it('starts anew when the server knows no ranges', async () => {
    faults = [breakAfter(120_000), (_, response) => response.writeHead(200).end(MODEL)]
    await aStore().fetch(ARTIFACT, url(), signal)
    unwrap(await aStore().fetch(ARTIFACT, url(), signal))
    expect(sha256Hex(await readFile(join(folder, ARTIFACT.sha256)))).toBe(ARTIFACT.sha256)
  })

  it('whose beginning was spoilt on disk is fetched once more from the beginning', async () => {
    await writeFile(join(folder, `${ARTIFACT.sha256}.part`), 'spoilt')
    unwrap(await aStore().fetch(ARTIFACT, url(), signal))
    expect(ranges).toEqual(['bytes=6-', 'bytes=0-'])
  })

  it('whose partial file is longer than the file ever was starts anew', async () => {
    await writeFile(join(folder, `${ARTIFACT.sha256}.part`), new Uint8Array(MODEL.length + 1))
    unwrap(await aStore().fetch(ARTIFACT, url(), signal))
    expect(ranges).toEqual(['bytes=0-'])
  })

  it('repairs a file that the disk has changed', async () => {
    await writeFile(join(folder, ARTIFACT.sha256), corrupt())
    const store = aStore()
    expect(codeOf(await store.read(ARTIFACT.sha256, ARTIFACT.length))).toBe('artifact.digest')
    unwrap(await store.fetch(ARTIFACT, url(), signal))
    expect(sha256Hex(unwrap(await store.read(ARTIFACT.sha256, ARTIFACT.length)))).toBe(
      ARTIFACT.sha256,
    )
  })
})

/** What a server may do, how often, and what the device makes of it. */
const ATTACKS: [string, Fault, number, string][] = [
  [
    'sends other bytes',
    (_, response) => response.writeHead(200).end(corrupt()),
    2,
    'artifact.digest',
  ],
  ['sends more than was signed', (_, response) => endless(response), 1, 'artifact.length'],
  [
    'offers a longer file',
    (_, r) => r.writeHead(206, { 'content-range': 'bytes 0-9/999999999' }).end(),
    1,
    'artifact.length',
  ],
  [
    'ends early',
    (_, response) => response.writeHead(200).end(MODEL.subarray(0, 9)),
    1,
    'net.interrupted',
  ],
  ['has no such file', (_, response) => response.writeHead(404).end(), 1, 'net.http'],
  ['is broken', (_, response) => response.writeHead(500).end('oops'), 1, 'net.http'],
  ['hangs before it answers', () => undefined, 1, 'net.slow'],
  ['sends a byte at a time', (_, response) => trickle(response), 1, 'net.slow'],
  [
    'answers for another range',
    (_, r) => r.writeHead(206, { 'content-range': 'bytes 5-9/300000' }).end('12345'),
    1,
    'net.http',
  ],
]

function endless(response: ServerResponse): void {
  response.writeHead(200)
  const more = (): void =>
    void response.write(new Uint8Array(65_536), () => !response.destroyed && more())
  more()
}

function trickle(response: ServerResponse): void {
  response.writeHead(200)
  const timer = setInterval(() => response.write('x'), 50)
  response.on('close', () => clearInterval(timer))
}

describe('a server that', () => {
  it.each(ATTACKS)('%s is refused', async (_, fault, times, code) => {
    faults = Array.from({ length: times }, () => fault)
    const store = aStore(10_000_000, code === 'net.slow' ? IMPATIENT : RETRIEVAL)
    expect(codeOf(await store.fetch(ARTIFACT, url(), signal))).toBe(code)
    expect(ranges).toHaveLength(times)
    const names = await readdir(folder)
    expect(names).not.toContain(ARTIFACT.sha256)
    for (const name of names) {
      expect((await readFile(join(folder, name))).length).toBeLessThanOrEqual(ARTIFACT.length)
    }
    unwrap(await aStore().fetch(ARTIFACT, url(), signal))
  })

  it('cannot be reached is no reason to give up on the release', async () => {
    const result = await aStore().fetch(ARTIFACT, 'http://127.0.0.1:1/model', signal)
    expect(codeOf(result)).toBe('net.interrupted')
  })
})

describe('the store', () => {
  it('lets go of a download that is no longer wanted', async () => {
    const abort = new AbortController()
    faults = [() => abort.abort()]
    expect(codeOf(await aStore().fetch(ARTIFACT, url(), abort.signal))).toBe('net.aborted')
  })

  it('refuses what does not fit on its part of the disk, partial files included', async () => {
    await writeFile(join(folder, `${'a'.repeat(64)}.part`), new Uint8Array(800_000))
    expect(codeOf(await aStore(1_000_000).fetch(ARTIFACT, url(), signal))).toBe('artifact.no_room')
    expect(ranges).toEqual([])
  })

  it('keeps what is needed, partial or whole, and files that are not its own', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(64)) as [string, string, string]
    for (const name of [a, `${b}.part`, c, `${c}.part`, 'notes.txt']) {
      await writeFile(join(folder, name), 'x')
    }
    await aStore().collectGarbage(new Set([a, b]))
    expect((await readdir(folder)).toSorted()).toEqual([a, `${b}.part`, 'notes.txt'].toSorted())
  })

  it('gives no path for what is no digest', () => {
    expect(aStore().path('../../etc/passwd')).toBeUndefined()
    expect(aStore().path(ARTIFACT.sha256)).toBe(join(folder, ARTIFACT.sha256))
  })

  it('says so when a file is missing', async () => {
    expect(codeOf(await aStore().read(ARTIFACT.sha256, 10))).toBe('artifact.missing')
  })
})
