/**
 * A body of a known length that comes in pieces, in one piece. Invariants: the memory that is taken is
 * at most `AT_ONCE_BYTES` or twice what came, so that a length alone costs nothing; the bytes behind
 * the JSON header begin at a multiple of eight, so that tensors are views into the body, where they
 * would else be copied once more.
 */
export interface BodyBuffer {
  /** @returns how many bytes of `chunk` belong to this body. */
  add(chunk: Uint8Array): number
  /** The body, once all of it has come. */
  whole(): Uint8Array | undefined
}

const AT_ONCE_BYTES = 1_048_576

/** @param headerLength of the JSON before the tensors; any number, as it comes from outside. */
export function createBodyBuffer(bodyBytes: number, headerLength: number): BodyBuffer {
  const start = headerLength >= 0 && headerLength <= bodyBytes ? -headerLength & 7 : 0
  let place = allocate(start, Math.min(bodyBytes, AT_ONCE_BYTES))
  let come = 0

  function grow(needed: number): void {
    const old = place.subarray(0, come)
    place = allocate(start, Math.min(bodyBytes, Math.max(needed, 2 * place.length)))
    place.set(old)
  }

  return {
    add(chunk) {
      const missing = bodyBytes - come
      const own = chunk.length > missing ? chunk.subarray(0, missing) : chunk
      if (come + own.length > place.length) grow(come + own.length)
      place.set(own, come)
      come += own.length
      return own.length
    },
    whole: () => (come < bodyBytes ? undefined : place),
  }
}

/** Not zeroed: every byte that is handed out was written before. */
function allocate(start: number, bytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(start + bytes).buffer, start)
}
