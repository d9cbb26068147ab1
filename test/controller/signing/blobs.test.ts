import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { openFileBlobs } from '../../../controller/signing/file-blobs.ts'
import { createMemoryBlobs } from '../../../controller/signing/memory-blobs.ts'
import { blobsContract } from '../../contract/blobs.contract.ts'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'linnet-blobs-'))
  folders.push(folder)
  return folder
}

describe('artifacts in memory', () => {
  blobsContract(async () => createMemoryBlobs())
})

describe('artifacts in a folder', () => {
  blobsContract(async () => openFileBlobs(await newFolder()))

  it('removes at the start what an interrupted upload left', async () => {
    const folder = await newFolder()
    await openFileBlobs(folder)
    await writeFile(join(folder, 'incoming', 'half'), 'half a file')
    await openFileBlobs(folder)
    expect(await readdir(join(folder, 'incoming'))).toEqual([])
  })
})
