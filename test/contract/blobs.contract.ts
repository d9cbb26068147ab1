/** What every `Blobs` must do. */
import { expect, it } from 'vitest'
import type { Blobs } from '../../controller/signing/blobs.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'

async function* inChunks(bytes: Uint8Array, chunkBytes: number): AsyncIterable<Uint8Array> {
  for (let i = 0; i < bytes.length; i += chunkBytes) yield bytes.subarray(i, i + chunkBytes)
}

async function* broken(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes.subarray(0, 3)
  throw new Error('the connection ended')
}

const bytes = Uint8Array.from({ length: 5_000 }, (_, i) => i % 251)
const sha256 = sha256Hex(bytes)

export function blobsContract(open: () => Promise<Blobs>): void {
  it('gives back what was put, whole and by range', async () => {
    const blobs = await open()
    expect(await blobs.put(sha256, inChunks(bytes, 700))).toEqual({
      ok: true,
      value: { length: 5_000 },
    })
    expect(await blobs.length(sha256)).toBe(5_000)
    expect(await blobs.read(sha256, 5_000)).toEqual(bytes)
    const part = await new Response(blobs.open(sha256, 10, 13)).arrayBuffer()
    expect([...new Uint8Array(part)]).toEqual([10, 11, 12])
    const nothing = await new Response(blobs.open(sha256, 4, 4)).arrayBuffer()
    expect(nothing.byteLength).toBe(0)
  })

  it('knows nothing that was not put, and reads nothing longer than asked for', async () => {
    const blobs = await open()
    expect(await blobs.length(sha256)).toBeUndefined()
    expect(await blobs.read(sha256, 10)).toBeUndefined()
    await blobs.put(sha256, inChunks(bytes, 5_000))
    expect(await blobs.read(sha256, 4_999)).toBeUndefined()
  })

  it('keeps nothing of bytes with another digest, or of an upload that broke', async () => {
    const blobs = await open()
    const wrong = await blobs.put(sha256, inChunks(bytes.subarray(1), 700))
    expect(wrong).toMatchObject({ ok: false, error: { code: 'artifact.digest', expected: sha256 } })
    expect(await blobs.length(sha256)).toBeUndefined()
    await expect(blobs.put(sha256, broken(bytes))).rejects.toThrow('the connection ended')
    expect(await blobs.length(sha256)).toBeUndefined()
  })

  it('takes the same bytes twice', async () => {
    const blobs = await open()
    await blobs.put(sha256, inChunks(bytes, 700))
    expect((await blobs.put(sha256, inChunks(bytes, 900))).ok).toBe(true)
    expect(await blobs.read(sha256, 5_000)).toEqual(bytes)
  })
}
