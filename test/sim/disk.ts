/**
 * A device's disk: it outlives the device's lives, and forgets what was not synced when the power
 * goes. The stores follow the protocols of the real ones (agent/store, agent/artifact): temporary
 * file, sync, rename, sync of the folder; a journal of checksummed records; partial downloads.
 *
 * Invariant: whatever a store said to be durable survives every cut; what it did not may survive
 * whole, torn or not at all, as the seed says.
 */
import type { SmallFiles, SpoolStore, StateStore } from '../../agent/ports.ts'
import type { Prng } from '../../shared/kernel/prng.ts'
import type { DurableState } from '../../shared/update/state.ts'
import type { Power } from './power.ts'

const WRITE_MS = 2

export interface StoredFile {
  bytes: Uint8Array
  /** So much of it is on the platter. */
  syncedBytes: number
}

/** What is on one device's disk. Ports reach it through the functions below. */
export class Disk {
  readonly #random: Prng
  /** Refuses every so many writes. */
  readonly #isFull: () => boolean
  /** False only where a test needs a disk that lies. */
  readonly isHonest: boolean
  /** The state file as it is, and as it would be after a cut now. */
  state: { text: string; afterCut: string[] } = { text: '', afterCut: [''] }
  journal: string[] = []
  unsyncedJournal: string[] = []
  readonly artifacts = new Map<string, Uint8Array>()
  readonly parts = new Map<string, StoredFile>()
  /** Small files that are replaced whole: verified manifests, counters. */
  readonly texts = new Map<string, string>()
  /** Trusted TUF metadata by role. */
  readonly metadata = new Map<string, Uint8Array>()

  constructor(random: Prng, isFull: () => boolean, isHonest: boolean) {
    this.#random = random
    this.#isFull = isFull
    this.isHonest = isHonest
  }

  checkRoom(): void {
    if (this.#isFull()) throw new Error('ENOSPC: no space left on device')
  }

  cutPower(): void {
    const random = this.#random
    const text = random.pick(this.state.afterCut)
    this.state = { text, afterCut: [text] }
    const kept = random.below(this.unsyncedJournal.length + 1)
    this.journal = [...this.journal, ...this.unsyncedJournal.slice(0, kept)]
    this.unsyncedJournal = []
    for (const [name, part] of this.parts) {
      const lost = part.bytes.length - part.syncedBytes
      if (lost === 0) continue
      const length = part.syncedBytes + random.below(lost + 1)
      const bytes = part.bytes.slice(0, length)
      // A length may be on the platter before its bytes are.
      if (random.chance(0.3)) bytes.fill(0, part.syncedBytes)
      this.parts.set(name, { bytes, syncedBytes: length })
    }
  }

  /** Flips a bit of one installed file. @returns its digest, or undefined when there is none. */
  rot(random: Prng): string | undefined {
    const names = [...this.artifacts.keys()].toSorted()
    if (names.length === 0) return undefined
    const name = random.pick(names)
    const bytes = this.artifacts.get(name)!.slice()
    bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
    this.artifacts.set(name, bytes)
    return name
  }
}

export function createSimStateStore(disk: Disk, power: Power): StateStore {
  return {
    async load() {
      return parseState(disk.state.text)
    },
    async save(durable) {
      disk.checkRoom()
      const former = disk.state.text
      const next = JSON.stringify(durable)
      await power.effect('save: write', WRITE_MS)
      await power.effect('save: sync', WRITE_MS)
      await power.effect('save: rename', WRITE_MS)
      disk.state = { text: next, afterCut: [former, next] }
      await power.effect('save: sync folder', WRITE_MS)
      disk.state = { text: next, afterCut: disk.isHonest ? [next] : ['', former] }
      power.boundary('save: done')
      if (!power.life.alive) await never()
    },
  }
}

/** What a device would find after a cut; undefined when there is no whole state. */
export function parseState(text: string): DurableState | undefined {
  try {
    return JSON.parse(text) as DurableState
  } catch {
    return undefined
  }
}

export function createSimSpoolStore(disk: Disk, power: Power): SpoolStore {
  return {
    async load() {
      return disk.journal
    },
    async append(records) {
      disk.checkRoom()
      power.boundary('spool: write')
      if (!power.life.alive) return never()
      disk.unsyncedJournal.push(...records)
      await power.effect('spool: sync', WRITE_MS)
      disk.journal.push(...disk.unsyncedJournal)
      disk.unsyncedJournal = []
    },
    async replace(records) {
      disk.checkRoom()
      await power.effect('spool: replace', WRITE_MS)
      disk.journal = [...records]
    },
  }
}

/** Each replaced whole: a cut leaves the former or the new text. */
export function createSimSmallFiles(disk: Disk, power: Power): SmallFiles {
  return {
    read: async (name) => disk.texts.get(name),
    async write(name, text) {
      disk.checkRoom()
      await power.effect('cache: write', WRITE_MS)
      disk.texts.set(name, text)
      power.boundary('cache: written')
    },
    names: async () => [...disk.texts.keys()],
    async remove(name) {
      power.boundary('cache: remove')
      if (power.life.alive) disk.texts.delete(name)
    },
  }
}

export function never(): Promise<never> {
  return new Promise(() => undefined)
}
