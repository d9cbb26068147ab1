/**
 * `for await` over a response's body, which the agent's downloads use: Safari learnt it late. Imported
 * for its effect, first, by pages.
 */
interface MaybeIterable {
  [Symbol.asyncIterator]?: () => AsyncGenerator<unknown>
}
const prototype = ReadableStream.prototype as MaybeIterable

prototype[Symbol.asyncIterator] ??= async function* (this: ReadableStream<unknown>) {
  const reader = this.getReader()
  try {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      yield chunk.value
    }
  } finally {
    // Whoever leaves the loop early wants no more of it.
    await reader.cancel().catch(() => undefined)
    reader.releaseLock()
  }
}
