/**
 * Retained messages by exact topic. aedes' memory persistence walks through all of them for each
 * subscribe: 5,000 devices that come back, each for its own `dn/desired`, took 13 to 23 s. Filters
 * without wildcards are answered from this index, the others by the persistence as before.
 * Invariant: the index holds exactly what the persistence retains. How many is the caller's limit.
 */
import { Readable } from 'node:stream'
import { assert } from '../../shared/kernel/assert.ts'

interface RetainedPacket {
  readonly topic: string
  readonly payload: Uint8Array | string
}

/** The two methods of an aedes persistence that concern retained messages. */
export interface RetainedStore {
  storeRetained(packet: RetainedPacket): Promise<void>
  createRetainedStreamCombi(filters: readonly string[]): Readable
}

export interface RetainedIndex {
  has(topic: string): boolean
  size(): number
}

/** Puts the index in front of `store`, in place; everything else of the store stays as it is. */
export function indexRetained(store: RetainedStore): RetainedIndex {
  assert(
    typeof store?.storeRetained === 'function' &&
      typeof store.createRetainedStreamCombi === 'function',
    'aedes no longer has the persistence that was measured',
  )
  const packets = new Map<string, RetainedPacket>()
  const storeInner = store.storeRetained.bind(store)
  const streamInner = store.createRetainedStreamCombi.bind(store)

  store.storeRetained = (packet) => {
    // An empty payload clears what is retained (MQTT 3.1.1, section 3.3.1.3).
    if (packet.payload.length === 0) packets.delete(packet.topic)
    else packets.set(packet.topic, { ...packet })
    return storeInner(packet)
  }
  store.createRetainedStreamCombi = (filters) => {
    const exact = filters.filter((filter) => !/[+#]/.test(filter))
    const found = exact.map((topic) => packets.get(topic)).filter((packet) => packet !== undefined)
    if (exact.length === filters.length) return Readable.from(found)
    return Readable.from(
      concatenate(found, streamInner(filters.filter((filter) => /[+#]/.test(filter)))),
    )
  }
  return { has: (topic) => packets.has(topic), size: () => packets.size }
}

async function* concatenate(first: readonly RetainedPacket[], then: Readable) {
  yield* first
  yield* then
}
