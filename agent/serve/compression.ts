/**
 * Compressed bodies, as HTTP names them: gzip, and deflate in its zlib form (RFC 9110, 8.4.1). With
 * the streams of the web, so that browser and Node do the same.
 */
export type Encoding = 'gzip' | 'deflate'

export const isEncoding = (name: string): name is Encoding => name === 'gzip' || name === 'deflate'

/**
 * The encoding of an answer. Only who names a single one gets it: a list, as browsers and most
 * libraries send it unasked, leaves the choice to us, and on one machine plain bytes are quicker.
 */
export function wantedEncoding(accepted: string | undefined | null): Encoding | undefined {
  const name = accepted?.trim().toLowerCase() ?? ''
  return isEncoding(name) ? name : undefined
}

/** @param body of at most the caller's limit; what comes out is counted while it does. */
export function inflating(
  body: ReadableStream<Uint8Array>,
  encoding: Encoding,
): ReadableStream<Uint8Array> {
  return body.pipeThrough(new DecompressionStream(encoding) as TransformStream)
}

export function deflating(
  body: ReadableStream<Uint8Array>,
  encoding: Encoding,
): ReadableStream<Uint8Array> {
  return body.pipeThrough(new CompressionStream(encoding) as TransformStream)
}
