import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createPrng } from '../../../shared/kernel/prng.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import {
  COUNT_MAX,
  decodeCounts,
  decodeRow,
  encodeCounts,
  encodeRow,
  trimCounts,
} from '../../../shared/sketch/count-run.ts'
import {
  createLatencyHistogram,
  LATENCY_BIN_COUNT,
  recordLatency,
} from '../../../shared/sketch/latency-histogram.ts'

const BINS = LATENCY_BIN_COUNT
const count = fc.oneof(fc.constant(0), fc.nat(3), fc.nat(300), fc.constant(COUNT_MAX))
const run = fc
  .tuple(fc.nat(900), fc.array(count, { maxLength: 100 }))
  .map(([first, counts]) => unwrap(trimCounts(first, counts, BINS)))

const codeOf = (bytes: number[], bins = BINS): string => {
  const decoded = decodeCounts(Uint8Array.from(bytes), bins)
  return decoded.ok ? 'ok' : decoded.error.code
}

describe('encoded counts', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(run, (original) => {
        expect(decodeCounts(encodeCounts(original), BINS)).toEqual({ ok: true, value: original })
      }),
    )
  })

  it('take no byte when there is nothing, and few for a steady minute', () => {
    expect(encodeCounts(createLatencyHistogram())).toHaveLength(0)
    const random = createPrng('steady minute')
    const histogram = createLatencyHistogram()
    for (let i = 0; i < 60; i++) recordLatency(histogram, 8 * Math.exp(0.2 * random.normal()))
    expect(encodeCounts(histogram).length).toBeLessThanOrEqual(18)
  })

  it.each([
    ['steady', (unit: number) => 5 + unit],
    ['spread over five decades', (unit: number) => 10 ** (5 * unit - 2)],
    ['spread from 1 us to an hour', (unit: number) => 0.001 * 3.6e9 ** unit],
  ])('of 1,000 latencies, %s, take at most 256 bytes', (_, latencyMs) => {
    const random = createPrng('thousand')
    const histogram = createLatencyHistogram()
    for (let i = 0; i < 1000; i++) recordLatency(histogram, latencyMs(random.unit()))
    expect(encodeCounts(histogram).length).toBeLessThanOrEqual(256)
  })

  it('never need more than 256 bytes for 1,000 samples, wherever they lie', () => {
    const bins = fc.array(fc.nat(BINS - 1), { minLength: 1000, maxLength: 1000 })
    fc.assert(
      fc.property(bins, (places) => {
        const counts = new Array<number>(BINS).fill(0)
        for (const place of places) counts[place]!++
        expect(encodeRow(counts).length).toBeLessThanOrEqual(256)
      }),
      { numRuns: 30 },
    )
  })

  it('are refused with a code when they are not ours', () => {
    expect(codeOf([7, 0, 1])).toBe('counts.encoding_invalid')
    expect(codeOf([0])).toBe('counts.encoding_invalid')
    expect(codeOf([0, 0x80])).toBe('counts.encoding_invalid')
    expect(codeOf([0, 0, 0])).toBe('counts.encoding_invalid')
    expect(codeOf([1, 0, 0xff])).toBe('counts.encoding_invalid')
    expect(codeOf([0, 0, 2, 1])).toBe('counts.encoding_not_canonical')
    expect(codeOf([0, 0])).toBe('counts.encoding_not_canonical')
    // 1 and 63 zeros take as many bytes as 64 at once.
    expect(codeOf([0, 0, 1, 2, 0x7e, 1])).toBe('counts.encoding_invalid')
    expect(codeOf([0, 0, 1, 0x80, 1, 1])).toBe('ok')
    expect(codeOf([0, 5, 1], 5)).toBe('counts.bins_out_of_range')
    expect(codeOf(new Array(9000).fill(1))).toBe('counts.encoding_too_long')
  })

  it('that claim 2^40 zeros are refused without room being made for them', () => {
    expect(codeOf([0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 1])).toBe('counts.encoding_invalid')
  })

  it('of random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const decoded = decodeCounts(bytes, BINS)
        if (decoded.ok) expect(encodeCounts(decoded.value)).toEqual(Uint8Array.from(bytes))
      }),
    )
  })

  it('that are changed in one byte are refused, or are the one encoding of other counts', () => {
    const row = fc.array(fc.oneof(fc.constant(0), fc.nat(300)), { minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(row, fc.nat(), fc.nat(255), (counts, where, byte) => {
        const bytes = encodeRow(counts)
        if (bytes.length === 0) return
        bytes[where % bytes.length] = byte
        const decoded = decodeCounts(bytes, BINS)
        if (decoded.ok) expect(encodeCounts(decoded.value)).toEqual(bytes)
      }),
      { numRuns: 500 },
    )
  })

  it('keep the length of a row out of the bytes', () => {
    const row = [0, 0, 4, 0, 1, 0]
    expect(decodeRow(encodeRow(row), 6)).toEqual({ ok: true, value: row })
    expect(decodeRow(encodeRow(row), 4)).toMatchObject({ ok: false })
  })

  it('refuse fractions and negative numbers', () => {
    expect(trimCounts(0, [0.5], 10)).toMatchObject({ error: { code: 'counts.count_invalid' } })
    expect(trimCounts(0, [-1], 10)).toMatchObject({ error: { code: 'counts.count_invalid' } })
  })
})
