/** What a device remembers of its trust is on the disk before it goes on, name and all. */
import type { FileHandle } from 'node:fs/promises'
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { TRUST_FILE, TrustMemory } from '../../agent/artifact/trust-memory.ts'
import { createSmallFiles } from '../../agent/store/small-files.ts'

let home: string
/** What was there at each fsync: the names in the folder, `file` where it was none. */
const synced: (readonly string[] | 'file')[] = []
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'linnet-trust-'))
  const handle = await open(home)
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const { sync } = prototype
  vi.spyOn(prototype, 'sync').mockImplementation(async function (this: FileHandle) {
    const isFolder = (await this.stat()).isDirectory()
    synced.push(isFolder ? await readdir(`/proc/self/fd/${this.fd}`) : 'file')
    return sync.call(this)
  })
})
afterEach(async () => {
  vi.restoreAllMocks()
  synced.length = 0
  await rm(home, { recursive: true, force: true })
})

it.runIf(process.platform === 'linux')('is synced, renamed and synced by name', async () => {
  const folder = join(home, 'releases')
  const release = { target: 'motor/1.0.0/fp32.onnx', sha256: 'a'.repeat(64) }
  const memory = new TrustMemory(createSmallFiles(folder))
  await memory.load()
  await memory.setRevoked(release, true)
  // First the name of the folder, which was not there.
  expect(synced).toEqual([['releases'], 'file', [TRUST_FILE]])
  await memory.enterEpoch(3)
  expect(synced.slice(3)).toEqual(['file', [TRUST_FILE]])
  expect(JSON.parse(await readFile(join(folder, TRUST_FILE), 'utf8'))).toEqual({
    ...{ directorEpoch: 3, floorMs: 0, revoked: [release] },
  })
})
