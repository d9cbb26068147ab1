/**
 * The part of CBOR (RFC 8949) that travels between device and controller: integers, floats, byte and
 * text strings, arrays, true, false, null; definite lengths only. Everything else (maps, tags,
 * indefinite lengths, undefined) is refused before the library's decoder sees a byte, because that
 * decoder also understands tags that define records or refer back, and allocates what a length says.
 *
 * Invariant: a document that passes decodes to at most `itemsMax` values nested at most `depthMax`
 * deep, and no string is longer than the document.
 */
import { Encoder } from 'cbor-x/index-no-eval'
import { ok, type Result, refuse } from '../kernel/result.ts'

export interface CborLimits {
  readonly bytesMax: number
  readonly depthMax: number
  readonly itemsMax: number
}

const INTEGER = 0
const NEGATIVE = 1
const BYTES = 2
const TEXT = 3
const ARRAY = 4
const SIMPLE = 7

const encoder = new Encoder({ useRecords: false, tagUint8Array: false, mapsAsObjects: true })

/** Positional values only: numbers, strings, booleans, null, byte strings and arrays of them. */
export function encodeCbor(value: unknown): Uint8Array {
  // A copy: the library hands out slices of its pool, and outside Node's Buffer type.
  return new Uint8Array(encoder.encode(value))
}

/** Errors: `cbor.too_large`, `cbor.refused` with the offset and the reason. */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits): Result<unknown> {
  if (bytes.length > limits.bytesMax) {
    return refuse('cbor.too_large', 'The document is too large.', {
      expected: `at most ${limits.bytesMax} bytes`,
      found: `${bytes.length} bytes`,
    })
  }
  const flaw = findFlaw(bytes, limits)
  if (flaw !== undefined) {
    return refuse('cbor.refused', 'The bytes are not the CBOR that is spoken here.', {
      expected: 'numbers, strings, booleans, null and arrays, of definite length',
      found: flaw,
    })
  }
  const value: unknown = encoder.decode(bytes)
  return ok(value)
}

/** Walks the heads of all items; the stack holds how many items each open array still waits for. */
function findFlaw(bytes: Uint8Array, limits: CborLimits): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const open: number[] = [1]
  let items = 0
  let offset = 0
  while (open.length > 0) {
    const waiting = open.pop()!
    if (waiting === 0) continue
    open.push(waiting - 1)
    items += 1
    if (items > limits.itemsMax) return `more than ${limits.itemsMax} values`
    const head = readHead(view, offset)
    if (typeof head === 'string') return `${head} at byte ${offset}`
    offset = head.next
    if (head.major === ARRAY) {
      if (open.length >= limits.depthMax) return `more than ${limits.depthMax} levels`
      // Each item takes at least a byte: a longer array is a lie, told to allocate it.
      if (head.argument > bytes.length - offset) return `an array cut off at byte ${offset}`
      open.push(head.argument)
    } else if (head.major === BYTES || head.major === TEXT) {
      if (head.argument > bytes.length - offset) return `a string cut off at byte ${offset}`
      offset += head.argument
    }
  }
  return offset === bytes.length ? undefined : `${bytes.length - offset} bytes after the end`
}

interface Head {
  readonly major: number
  readonly argument: number
  readonly next: number
}

function readHead(view: DataView, offset: number): Head | string {
  if (offset >= view.byteLength) return 'the end, too early'
  const initial = view.getUint8(offset)
  const major = initial >> 5
  const short = initial & 0x1f
  const width = short < 24 ? 0 : ({ 24: 1, 25: 2, 26: 4, 27: 8 }[short] ?? -1)
  if (width < 0) return 'an indefinite or reserved length'
  const next = offset + 1 + width
  if (next > view.byteLength) return 'a head cut off'
  if (major === SIMPLE) {
    // 20 false, 21 true, 22 null; 25 to 27 are floats.
    const allowed = (short >= 20 && short <= 22) || short >= 25
    return allowed ? { major, argument: 0, next } : `a simple value ${short}`
  }
  if (![INTEGER, NEGATIVE, BYTES, TEXT, ARRAY].includes(major)) return `major type ${major}`
  const argument = readArgument(view, offset + 1, width, short)
  if (!Number.isSafeInteger(argument)) return 'an integer beyond 2^53'
  return { major, argument, next }
}

function readArgument(view: DataView, offset: number, width: number, short: number): number {
  switch (width) {
    case 0:
      return short
    case 1:
      return view.getUint8(offset)
    case 2:
      return view.getUint16(offset)
    case 4:
      return view.getUint32(offset)
    default:
      return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4)
  }
}
