/** Compressed bodies in the front: what comes out of all of them together has a limit. */
import { deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { createBodyInflater } from '../../../agent/front/inflate-body.ts'
import type { Result } from '../../../shared/kernel/result.ts'

const PLAIN = Buffer.alloc(200_000, 7)

function inflateAll(bodies: readonly [Buffer, string][], bytesMax: number, heldBytesMax: number) {
  const inflater = createBodyInflater(bytesMax, heldBytesMax)
  const inflate = ([body, encoding]: [Buffer, string]): Promise<Result<Buffer>> =>
    new Promise((done) => inflater.inflate(body, encoding, done))
  return { inflater, told: Promise.all(bodies.map(inflate)) }
}

describe('A compressed body', () => {
  it.each([
    ['gzip', gzipSync(PLAIN), PLAIN.length],
    ['deflate', deflateSync(PLAIN), PLAIN.length],
    ['gzip', gzipSync(Buffer.alloc(0)), 0],
    ['gzip', deflateSync(PLAIN), 0],
    ['gzip', gzipSync(PLAIN).subarray(0, 20), 0],
    ['br', gzipSync(PLAIN), 0],
    ['gzip', gzipSync(Buffer.alloc(300_001)), 0],
  ])('of %s is inflated up to what a request may have (%#)', async (encoding, body, bytes) => {
    const { inflater, told } = inflateAll([[body, encoding]], 300_000, 1_000_000)
    const [plain] = await told
    expect(plain?.ok && plain.value.length).toBe(bytes)
    expect(inflater.held()).toBe(0)
  })

  it('is refused where the others hold all that there is, and read when they are gone', async () => {
    const bodies = Array.from({ length: 8 }, (): [Buffer, string] => [gzipSync(PLAIN), 'gzip'])
    const { inflater, told } = inflateAll(bodies, 300_000, 500_000)
    const codes = (await told).map((plain) => (plain.ok ? plain.value.length : plain.error.code))
    expect(new Set(codes)).toEqual(new Set([PLAIN.length, 'infer.overloaded']))
    expect(inflater.held()).toBe(0)
    const again = await new Promise((done) => inflater.inflate(gzipSync(PLAIN), 'gzip', done))
    expect(again).toMatchObject({ ok: true })
  })
})
