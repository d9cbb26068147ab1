/**
 * The spool's entries and the journal that survives the process: every change is applied in memory
 * at once and written in order. Writes go out in groups, one at a time; the journal is rewritten
 * from what is alive when more than half of it is dead, and after any failed write, since nobody
 * knows how much of that one arrived.
 */
import { parseRecord, type SpoolEntry, type SpoolRecord } from '../shared/protocol/spool-record.ts'
import type { SpoolStore } from './ports.ts'

const COMPACT_BYTES_MIN = 262_144

export interface Journal {
  /** Oldest first. */
  entries(): readonly SpoolEntry[]
  nextId(): number
  /** Applies a change and has it written soon. */
  write(record: SpoolRecord): void
  /** Resolves when everything written so far is durable; rejects when the store refuses it. */
  flush(): Promise<void>
  /** Size of what is alive, as it is written. */
  liveBytes(): number
}

export async function openJournal(store: SpoolStore): Promise<Journal> {
  const journal = new StoredJournal(store)
  for (const text of await store.load()) journal.replay(text)
  return journal
}

class StoredJournal implements Journal {
  readonly #store: SpoolStore
  readonly #entries = new Map<number, { entry: SpoolEntry; bytes: number }>()
  #lastId = 0
  #liveBytes = 0
  #writtenBytes = 0
  #pending: string[] = []
  #mustReplace = false
  #writing: Promise<void> = Promise.resolve()

  constructor(store: SpoolStore) {
    this.#store = store
  }

  entries(): readonly SpoolEntry[] {
    return [...this.#entries.values()].map(({ entry }) => entry)
  }

  nextId(): number {
    this.#lastId += 1
    return this.#lastId
  }

  liveBytes(): number {
    return this.#liveBytes
  }

  replay(text: string): void {
    this.#writtenBytes += text.length
    const record = parseRecord(text)
    if (record !== undefined) this.#apply(record)
  }

  write(record: SpoolRecord): void {
    this.#apply(record)
    this.#pending.push(JSON.stringify(record))
    if (this.#pending.length > 1) return
    // Failures come back from `flush`, which whoever sends must await; here they only wait.
    this.flush().catch(() => undefined)
  }

  flush(): Promise<void> {
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#writePending())
    return this.#writing
  }

  async #writePending(): Promise<void> {
    const dead = this.#writtenBytes - this.#liveBytes
    const isHalfDead = this.#writtenBytes > COMPACT_BYTES_MIN && dead > this.#writtenBytes / 2
    if (this.#mustReplace || isHalfDead) return this.#rewrite()
    const records = this.#pending
    this.#pending = []
    if (records.length === 0) return
    try {
      await this.#store.append(records)
      this.#writtenBytes += records.reduce((sum, text) => sum + text.length, 0)
    } catch (cause) {
      this.#mustReplace = true
      throw cause
    }
  }

  async #rewrite(): Promise<void> {
    const records = this.entries().map((entry) => JSON.stringify(['put', entry]))
    this.#pending = []
    try {
      await this.#store.replace(records)
      this.#mustReplace = false
      this.#writtenBytes = records.reduce((sum, text) => sum + text.length, 0)
    } catch (cause) {
      this.#mustReplace = true
      throw cause
    }
  }

  #apply(record: SpoolRecord): void {
    if (record[0] === 'put') {
      this.#put(record[1])
    } else if (record[0] === 'stamp') {
      const held = this.#entries.get(record[1])
      if (held !== undefined) this.#put({ ...held.entry, stamp: record[2] })
    } else {
      for (const id of record[1]) {
        this.#liveBytes -= this.#entries.get(id)?.bytes ?? 0
        this.#entries.delete(id)
      }
    }
  }

  #put(entry: SpoolEntry): void {
    const bytes = JSON.stringify(entry).length
    this.#liveBytes += bytes - (this.#entries.get(entry.id)?.bytes ?? 0)
    this.#entries.set(entry.id, { entry, bytes })
    this.#lastId = Math.max(this.#lastId, entry.id)
  }
}
