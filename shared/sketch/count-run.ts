/**
 * The used range of a row of bins, and its bytes. Two layouts, of which the encoder takes the
 * shorter:
 *   runs  00, varint first bin, then varints: 2z for z zeros (z > 0), 2c-1 for a count of c > 0
 *   marks 01, varint first bin, then bits: c ones and a zero for each bin, zeros to the last byte
 * `runs` suits many samples in few bins, `marks` bounds the worst case: n samples over s bins never
 * need more than 4 + (n + s)/8 bytes, so at most 256 for 1,000 latencies, whatever their values.
 *
 * Invariant: counts start and end with a non-zero count, or are empty with `first` 0, so equal runs
 * are deeply equal; one run has one encoding, and the decoder refuses every other. It never
 * allocates more counts than the caller has bins.
 */
import { ok, type Result, refuse } from '../kernel/result.ts'
import { ByteReader, pushVarint, varintLength } from './varint.ts'

export interface CountRun {
  /** Index of the bin that `counts[0]` counts. */
  first: number
  counts: number[]
}

/** The largest count or total anywhere: twice as much is still a safe integer. */
export const COUNT_MAX = 2 ** 52 - 1

const RUNS = 0
const MARKS = 1
/** Above this many samples `marks` is not tried: it grows by a bit a sample, `runs` does not. */
const MARKS_SAMPLES_MAX = 65_536

/** Brings counts from bin `first` on into the canonical form, or refuses what is none. */
export function trimCounts(
  first: number,
  counts: readonly number[],
  binCount: number,
): Result<CountRun> {
  if (!Number.isInteger(first) || first < 0 || first + counts.length > binCount) {
    return refuse('counts.bins_out_of_range', 'There are counts for bins that do not exist.', {
      expected: `bins 0 to ${binCount - 1}`,
      found: `bins ${first} to ${first + counts.length - 1}`,
    })
  }
  // One plain loop: this runs for every row of every window that arrives.
  let start = -1
  let end = -1
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i]!
    if (!Number.isInteger(count) || count < 0 || count > COUNT_MAX) {
      return refuse('counts.count_invalid', 'A count is no whole number.', {
        expected: 'whole numbers from 0 to 2^52 - 1',
        found: String(count),
      })
    }
    if (count === 0) continue
    if (start < 0) start = i
    end = i
  }
  if (start < 0) return ok({ first: 0, counts: [] })
  return ok({ first: first + start, counts: counts.slice(start, end + 1) })
}

/** @returns no bytes at all for the empty run. */
export function encodeCounts(run: CountRun): Uint8Array {
  if (run.counts.length === 0) return new Uint8Array(0)
  const isShorterAsMarks = marksLength(run) < runsLength(run)
  return Uint8Array.from(isShorterAsMarks ? encodeMarks(run) : encodeRuns(run))
}

function runsLength({ first, counts }: CountRun): number {
  let length = 1 + varintLength(first)
  let zeros = 0
  for (const count of counts) {
    if (count === 0) {
      zeros++
      continue
    }
    if (zeros > 0) length += varintLength(2 * zeros)
    zeros = 0
    length += varintLength(2 * count - 1)
  }
  return length
}

/** Infinite where the layout is not used. */
function marksLength({ first, counts }: CountRun): number {
  let samples = 0
  for (const count of counts) samples += count
  if (samples > MARKS_SAMPLES_MAX) return Number.POSITIVE_INFINITY
  return 1 + varintLength(first) + Math.ceil((samples + counts.length) / 8)
}

function encodeRuns({ first, counts }: CountRun): number[] {
  const bytes = [RUNS]
  pushVarint(bytes, first)
  let zeros = 0
  for (const count of counts) {
    if (count === 0) {
      zeros++
      continue
    }
    if (zeros > 0) pushVarint(bytes, 2 * zeros)
    zeros = 0
    pushVarint(bytes, 2 * count - 1)
  }
  return bytes
}

function encodeMarks({ first, counts }: CountRun): number[] {
  const bytes = [MARKS]
  pushVarint(bytes, first)
  let byte = 0
  let bits = 0
  const pushBit = (bit: 0 | 1): void => {
    byte = (byte << 1) | bit
    if (++bits < 8) return
    bytes.push(byte)
    byte = 0
    bits = 0
  }
  for (const count of counts) {
    for (let i = 0; i < count; i++) pushBit(1)
    pushBit(0)
  }
  while (bits > 0) pushBit(0)
  return bytes
}

/** Refuses with `counts.encoding_*` what `encodeCounts` cannot have written for so many bins. */
export function decodeCounts(bytes: Uint8Array, binCount: number): Result<CountRun> {
  if (bytes.length === 0) return ok({ first: 0, counts: [] })
  // A count takes at most 8 bytes; layout and first bin another 4.
  const bytesMax = 8 * binCount + 4
  if (bytes.length > bytesMax) {
    return refuse('counts.encoding_too_long', 'The encoded counts are too long.', {
      expected: `at most ${bytesMax} bytes`,
      found: `${bytes.length} bytes`,
    })
  }
  const reader = new ByteReader(bytes, 1)
  const first = reader.varint()
  const layout = bytes[0]
  const decode = layout === RUNS ? decodeRuns : layout === MARKS ? decodeMarks : undefined
  const counts = decode?.(reader, binCount)
  if (first === undefined || counts === undefined) {
    return refuse('counts.encoding_invalid', 'The bytes are no encoded counts.', {
      expected: `layout 0 (runs) or 1 (marks) with whole varints, for ${binCount} bins`,
      found: `${bytes.length} bytes, layout ${layout}`,
    })
  }
  const run = trimCounts(first, counts, binCount)
  if (!run.ok) return run
  // No counts at all are no bytes at all.
  const isWhole = counts.length > 0 && run.value.counts.length === counts.length
  if (!isWhole || !isShortest(run.value, layout, bytes.length)) {
    return refuse('counts.encoding_not_canonical', 'These counts have another, shorter encoding.')
  }
  return run
}

/** Whether the encoder would have taken this layout, and as many bytes. */
function isShortest(run: CountRun, layout: number | undefined, length: number): boolean {
  const runs = runsLength(run)
  const marks = marksLength(run)
  return marks < runs ? layout === MARKS && length === marks : layout === RUNS && length === runs
}

/** @returns undefined for a broken varint, zeros told twice or more bins than exist. */
function decodeRuns(reader: ByteReader, binCount: number): number[] | undefined {
  const counts: number[] = []
  let isAfterZeros = false
  while (!reader.atEnd()) {
    const token = reader.varint()
    if (token === undefined || token === 0) return undefined
    const isZeros = token % 2 === 0
    if (isZeros && isAfterZeros) return undefined
    isAfterZeros = isZeros
    const length = isZeros ? token / 2 : 1
    if (counts.length + length > binCount) return undefined
    for (let i = 0; i < length; i++) counts.push(isZeros ? 0 : (token + 1) / 2)
  }
  return counts
}

/** @returns undefined when a count does not end or there are more bins than exist. */
function decodeMarks(reader: ByteReader, binCount: number): number[] | undefined {
  const counts: number[] = []
  let count = 0
  while (!reader.atEnd()) {
    const byte = reader.byte()
    for (let bit = 7; bit >= 0; bit--) {
      if ((byte >> bit) & 1) count++
      else {
        counts.push(count)
        count = 0
      }
    }
    // Padding reads as up to seven more bins.
    if (counts.length > binCount + 7) return undefined
  }
  while (counts.at(-1) === 0) counts.pop()
  return count === 0 ? counts : undefined
}

/** A whole row of bins as bytes: its length does not travel, the reader knows it. */
export function encodeRow(counts: readonly number[]): Uint8Array {
  const start = counts.findIndex((count) => count > 0)
  if (start < 0) return new Uint8Array(0)
  const end = counts.findLastIndex((count) => count > 0)
  return encodeCounts({ first: start, counts: counts.slice(start, end + 1) })
}

export function decodeRow(bytes: Uint8Array, binCount: number): Result<number[]> {
  const run = decodeCounts(bytes, binCount)
  if (!run.ok) return run
  const counts = new Array<number>(binCount).fill(0)
  run.value.counts.forEach((count, i) => {
    counts[run.value.first + i] = count
  })
  return ok(counts)
}

export function addRows(a: readonly number[], b: readonly number[]): number[] {
  return a.map((count, i) => count + b[i]!)
}

/** The sum of two runs; commutative, associative, with the empty run as identity. */
export function mergeCounts(a: CountRun, b: CountRun): CountRun {
  if (a.counts.length === 0) return { first: b.first, counts: [...b.counts] }
  if (b.counts.length === 0) return { first: a.first, counts: [...a.counts] }
  const first = Math.min(a.first, b.first)
  const end = Math.max(a.first + a.counts.length, b.first + b.counts.length)
  const counts = new Array<number>(end - first).fill(0)
  for (const part of [a, b]) {
    part.counts.forEach((count, i) => {
      counts[part.first - first + i]! += count
    })
  }
  return { first, counts }
}
