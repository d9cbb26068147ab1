/**
 * Whole files by name: the origin-private file system where there is one, else IndexedDB, else memory;
 * `kind` says which. Invariant: a file is there whole or not at all. What the bytes are worth is the
 * caller's to check.
 */
import type { Records } from './records.ts'

type Bytes = Uint8Array<ArrayBuffer>

export interface WebFiles {
  readonly kind: 'origin-private file system' | 'IndexedDB' | 'memory'
  /** Bytes by name. */
  sizes(): Promise<ReadonlyMap<string, number>>
  read(name: string): Promise<Bytes | undefined>
  write(name: string, bytes: Bytes): Promise<void>
  remove(name: string): Promise<void>
}

export async function openWebFiles(records: Records, folder: string): Promise<WebFiles> {
  try {
    const root = await navigator.storage.getDirectory()
    const directory = await root.getDirectoryHandle(folder, { create: true })
    // Some browsers have the folder but can write to it in workers only.
    const probe = await directory.getFileHandle('probe', { create: true })
    if (typeof probe.createWritable !== 'function') return recordFiles(records)
    await directory.removeEntry('probe')
    return privateFiles(directory)
  } catch {
    return recordFiles(records)
  }
}

function privateFiles(directory: FileSystemDirectoryHandle): WebFiles {
  return {
    kind: 'origin-private file system',
    async sizes() {
      const sizes = new Map<string, number>()
      for await (const [name, handle] of directory.entries()) {
        if (handle instanceof FileSystemFileHandle) sizes.set(name, (await handle.getFile()).size)
      }
      return sizes
    },
    async read(name) {
      try {
        const file = await (await directory.getFileHandle(name)).getFile()
        return new Uint8Array(await file.arrayBuffer())
      } catch {
        return undefined
      }
    },
    async write(name, bytes) {
      const handle = await directory.getFileHandle(name, { create: true })
      // What is written shows only at `close`, all at once.
      const writable = await handle.createWritable()
      await writable.write(bytes)
      await writable.close()
    },
    remove: (name) => directory.removeEntry(name),
  }
}

function recordFiles(records: Records): WebFiles {
  const read = async (name: string): Promise<Bytes | undefined> => {
    const bytes = await records.get('artifacts', name)
    return bytes instanceof Uint8Array ? (bytes as Bytes) : undefined
  }
  return {
    kind: records.isDurable ? 'IndexedDB' : 'memory',
    async sizes() {
      const sizes = new Map<string, number>()
      for (const name of await records.keys('artifacts')) {
        sizes.set(name, (await read(name))?.length ?? 0)
      }
      return sizes
    },
    // A copy: readers hand it on for good.
    read: async (name) => (await read(name))?.slice(),
    write: (name, bytes) => records.put('artifacts', name, bytes.slice()),
    remove: (name) => records.remove('artifacts', name),
  }
}
