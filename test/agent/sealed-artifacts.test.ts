/** Artifacts that lie encrypted on the disk: what a thief sees, and what whoever changes them gets. */
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { artifactCipher, readArtifact } from '../../agent/artifact/artifact-cipher.ts'
import { createArtifactStore } from '../../agent/artifact/artifact-store.ts'
import { artifactContext, sealedFiles } from '../../agent/artifact/sealed-files.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'

const KEY = new Uint8Array(32).fill(7)
const CHUNK = 65_536
const CHUNK_ON_DISK = CHUNK + 28
const HEADER = 48
const bytesOf = (seed: number, length = 300_000) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed + (i >> 8)) % 251)
const anArtifact = (bytes: Uint8Array) => ({
  ...{ file: 'fp32.onnx', sha256: sha256Hex(bytes), length: bytes.length },
})
const MODEL = bytesOf(0)
const ARTIFACT = anArtifact(MODEL)
const OTHER = bytesOf(1)
const RETRIEVAL = { deadlineMs: 20_000, bytesPerSecondMin: 1_000, windowMs: 10_000 }
const signal = new AbortController().signal

let folder: string
let server: Server
let ranges: string[]
/** Bytes after which the next answer breaks off. */
let breaks: number[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'linnet-sealed-'))
  ranges = []
  breaks = []
  server = createServer((request, response) => {
    const range = request.headers.range ?? ''
    ranges.push(range)
    answer(response, Number(/bytes=(\d+)-/.exec(range)?.[1] ?? 0))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
  await rm(folder, { recursive: true, force: true })
})

function answer(response: ServerResponse, from: number): void {
  const bytes = breaks.shift()
  const range = `bytes ${from}-${MODEL.length - 1}/${MODEL.length}`
  response.writeHead(206, { 'content-range': range, 'content-length': MODEL.length - from })
  if (bytes === undefined) response.end(MODEL.subarray(from))
  else response.write(MODEL.subarray(from, from + bytes), () => response.destroy())
}

const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/model`
const aStore = (key = KEY, bytesMax = 10_000_000) =>
  createArtifactStore({ folder, bytesMax, retrieval: RETRIEVAL, files: sealedFiles(key) })
const codeOf = (result: { ok: boolean; error?: { code: string } }) => result.error?.code ?? 'ok'
const pathOf = (sha256 = ARTIFACT.sha256) => join(folder, sha256)
const cipher = artifactCipher(KEY)
const sealAs = (sha256: string, bytes: Uint8Array) =>
  cipher.seal(pathOf(sha256), bytes, artifactContext(sha256))

/** Whether any 32 bytes of the plaintext stand in the file. */
function reveals(file: Uint8Array, plain: Uint8Array): boolean {
  const haystack = Buffer.from(file)
  for (let i = 0; i + 32 <= plain.length; i += 1_009) {
    if (haystack.includes(Buffer.from(plain.subarray(i, i + 32)))) return true
  }
  return false
}

describe('an encrypted artifact', () => {
  it('is read back whole and right, and nothing of it stands on the disk', async () => {
    const store = aStore()
    unwrap(await store.fetch(ARTIFACT, url(), signal))
    expect(await readdir(folder)).toEqual([ARTIFACT.sha256])
    const file = await readFile(pathOf())
    expect(reveals(MODEL, MODEL)).toBe(true)
    expect(reveals(file, MODEL)).toBe(false)
    expect(file.length).toBe(HEADER + 5 * 28 + MODEL.length)
    const read = unwrap(await store.read(ARTIFACT.sha256, ARTIFACT.length))
    expect(sha256Hex(read)).toBe(ARTIFACT.sha256)
    unwrap(await store.fetch(ARTIFACT, url(), signal))
    expect(ranges).toEqual(['bytes=0-'])
  })

  it('that broke goes on after its last whole chunk, in another store too', async () => {
    breaks = [3 * CHUNK + 1_000]
    expect(codeOf(await aStore().fetch(ARTIFACT, url(), signal))).toBe('net.interrupted')
    const part = await readFile(`${pathOf()}.part`)
    expect(reveals(part, MODEL)).toBe(false)
    const have = ((part.length - HEADER) / CHUNK_ON_DISK) * CHUNK
    unwrap(await aStore().fetch(ARTIFACT, url(), signal))
    expect(ranges).toEqual(['bytes=0-', `bytes=${have}-`])
    expect(sha256Hex(unwrap(await aStore().read(ARTIFACT.sha256, MODEL.length)))).toBe(
      ARTIFACT.sha256,
    )
  })

  it('is right whatever of its partial file a power cut left', async () => {
    await sealAs(ARTIFACT.sha256, MODEL)
    const whole = await readFile(pathOf())
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), fc.boolean(), async (kept, zeros) => {
        await rm(pathOf(), { force: true })
        ranges = []
        await writeFile(`${pathOf()}.part`, whole.subarray(0, kept))
        // Some file systems show blocks that were never written as zeros.
        if (zeros) await truncate(`${pathOf()}.part`, whole.length)
        unwrap(await aStore().fetch(ARTIFACT, url(), signal))
        expect(unwrap(await aStore().read(ARTIFACT.sha256, MODEL.length))).toHaveLength(300_000)
        const chunks = kept < HEADER ? 0 : Math.floor((kept - HEADER) / CHUNK_ON_DISK)
        expect(ranges).toEqual(kept === whole.length ? [] : [`bytes=${chunks * CHUNK}-`])
      }),
      { numRuns: 25 },
    )
  })

  it('never repeats a salt or a nonce', async () => {
    const seen = new Set<string>()
    for (let i = 0; i < 20; i++) {
      await sealAs(ARTIFACT.sha256, MODEL)
      const file = await readFile(pathOf())
      seen.add(file.subarray(8, 40).toString('hex'))
      for (let at = HEADER; at < file.length; at += CHUNK_ON_DISK) {
        seen.add(file.subarray(at, at + 12).toString('hex'))
      }
    }
    expect(seen.size).toBe(20 * 6)
  })

  it('counts on the disk with what sealing adds', async () => {
    const onDisk = HEADER + 5 * 28 + MODEL.length
    expect(codeOf(await aStore(KEY, onDisk - 1).fetch(ARTIFACT, url(), signal))).toBe(
      'artifact.no_room',
    )
    unwrap(await aStore(KEY, onDisk).fetch(ARTIFACT, url(), signal))
  })
})

const swapped = (file: Buffer): Buffer => {
  const chunk = (i: number) =>
    file.subarray(HEADER + i * CHUNK_ON_DISK, HEADER + (i + 1) * CHUNK_ON_DISK)
  const tail = file.subarray(HEADER + 2 * CHUNK_ON_DISK)
  return Buffer.concat([file.subarray(0, HEADER), chunk(1), chunk(0), tail])
}
const flipped = (file: Buffer, at: number): Buffer => {
  const copy = Buffer.from(file)
  copy[at]! ^= 1
  return copy
}
/** `again`: the same artifact, sealed once more under the same key. */
const CHANGES: [string, (file: Buffer, again: Buffer) => Uint8Array][] = [
  ['has one bit flipped in a chunk', (file) => flipped(file, 200_000)],
  ['has one bit flipped in its last tag', (file) => flipped(file, file.length - 1)],
  ['has one bit flipped in its salt', (file) => flipped(file, 20)],
  ['has another length in its header', (file) => flipped(file, HEADER - 1)],
  ['lost its last byte', (file) => file.subarray(0, -1)],
  ['lost its last chunk', (file) => file.subarray(0, HEADER + 4 * CHUNK_ON_DISK)],
  ['lost all but its header', (file) => file.subarray(0, HEADER)],
  ['is empty', () => Buffer.alloc(0)],
  ['has something after its end', (file) => Buffer.concat([file, Buffer.alloc(1)])],
  ['has two chunks in each other’s place', swapped],
  [
    'has a chunk of another sealing of the same artifact',
    (file, again) =>
      Buffer.concat([
        file.subarray(0, HEADER),
        again.subarray(HEADER, HEADER + CHUNK_ON_DISK),
        file.subarray(HEADER + CHUNK_ON_DISK),
      ]),
  ],
  ['lies there in plain', () => MODEL],
]

describe('an encrypted file that', () => {
  it.each(CHANGES)('%s is refused, and fetched again', async (_, change) => {
    await sealAs(ARTIFACT.sha256, MODEL)
    const file = await readFile(pathOf())
    await sealAs(ARTIFACT.sha256, MODEL)
    await writeFile(pathOf(), change(file, await readFile(pathOf())))
    expect(codeOf(await aStore().read(ARTIFACT.sha256, MODEL.length))).toBe('artifact.digest')
    expect(codeOf(await readArtifact(pathOf(), ARTIFACT, KEY))).toBe('artifact.digest')
    unwrap(await aStore().fetch(ARTIFACT, url(), signal))
    expect(ranges).toHaveLength(1)
    expect(codeOf(await aStore().read(ARTIFACT.sha256, MODEL.length))).toBe('ok')
  })

  it('was sealed as another artifact is refused under this name', async () => {
    await sealAs(sha256Hex(OTHER), OTHER)
    await writeFile(pathOf(), await readFile(pathOf(sha256Hex(OTHER))))
    expect(await cipher.open(pathOf(), artifactContext(ARTIFACT.sha256), 1 << 20)).toBe('damaged')
  })

  it('was sealed under another key is refused', async () => {
    await sealAs(ARTIFACT.sha256, MODEL)
    const wrong = new Uint8Array(32).fill(8)
    expect(codeOf(await readArtifact(pathOf(), ARTIFACT, wrong))).toBe('artifact.digest')
    expect(codeOf(await readArtifact(pathOf(), ARTIFACT, undefined))).toBe('artifact.digest')
    expect(codeOf(await readArtifact(pathOf(), ARTIFACT, KEY))).toBe('ok')
  })

  it('is longer than it may be is not even read', async () => {
    await sealAs(ARTIFACT.sha256, MODEL)
    const reading = cipher.open(pathOf(), artifactContext(ARTIFACT.sha256), MODEL.length - 1)
    await expect(reading).rejects.toMatchObject({ problem: { code: 'file.too_large' } })
  })

  it('is not there is missing', async () => {
    expect(codeOf(await readArtifact(pathOf(), ARTIFACT, KEY))).toBe('artifact.missing')
    await mkdir(pathOf())
    expect(codeOf(await readArtifact(pathOf(), ARTIFACT, KEY))).toBe('artifact.missing')
  })
})

describe('any bytes', () => {
  it('come back as they were sealed, at every length', async () => {
    const lengths = fc.constantFrom(0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 150_001)
    await fc.assert(
      fc.asyncProperty(lengths, fc.nat(250), async (length, seed) => {
        const bytes = bytesOf(seed, length)
        await cipher.seal(join(folder, 'any'), bytes, 'any')
        const opened = await cipher.open(join(folder, 'any'), 'any', length)
        expect(Buffer.from(opened as Uint8Array).equals(bytes)).toBe(true)
      }),
      { numRuns: 20 },
    )
  })
})
