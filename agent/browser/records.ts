/**
 * Small records that survive the page: IndexedDB, or memory where the browser has none (private
 * windows, switched off storage), which `isDurable` says openly. Invariant: each call is one
 * transaction, durable when it resolves.
 */
export const STORES = ['device', 'metadata', 'releases', 'settings', 'artifacts', 'spool'] as const
export type StoreName = (typeof STORES)[number]

export interface Records {
  readonly isDurable: boolean
  get(store: StoreName, key: string): Promise<unknown>
  put(store: StoreName, key: string, value: unknown): Promise<void>
  remove(store: StoreName, key: string): Promise<void>
  keys(store: StoreName): Promise<readonly string[]>
  /** In the order of the keys. */
  values(store: StoreName): Promise<readonly unknown[]>
  /** The store then holds these entries and no others. */
  replace(store: StoreName, entries: readonly (readonly [string, unknown])[]): Promise<void>
}

export async function openRecords(name: string): Promise<Records> {
  try {
    return databaseRecords(await openDatabase(name))
  } catch {
    return memoryRecords()
  }
}

function openDatabase(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(name, 1)
    opening.onupgradeneeded = () => {
      for (const store of STORES) opening.result.createObjectStore(store)
    }
    opening.onsuccess = () => resolve(opening.result)
    opening.onerror = () => reject(opening.error)
  })
}

function databaseRecords(database: IDBDatabase): Records {
  /** Resolves with what `ask` requested, once the transaction is on disk. */
  function transact<T>(
    store: StoreName,
    mode: IDBTransactionMode,
    ask: (objects: IDBObjectStore) => IDBRequest<T> | undefined,
  ): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(store, mode, { durability: 'strict' })
      const request = ask(transaction.objectStore(store))
      transaction.oncomplete = () => resolve(request?.result)
      transaction.onabort = () => reject(transaction.error)
      transaction.onerror = () => reject(transaction.error)
    })
  }
  const write = async (store: StoreName, ask: (objects: IDBObjectStore) => void) => {
    await transact(store, 'readwrite', (objects) => {
      ask(objects)
      return undefined
    })
  }
  return {
    isDurable: true,
    get: (store, key) => transact(store, 'readonly', (objects) => objects.get(key)),
    put: (store, key, value) => write(store, (objects) => objects.put(value, key)),
    remove: (store, key) => write(store, (objects) => objects.delete(key)),
    async keys(store) {
      const keys = await transact(store, 'readonly', (objects) => objects.getAllKeys())
      return (keys ?? []).map(String)
    },
    values: async (store) =>
      (await transact(store, 'readonly', (objects) => objects.getAll())) ?? [],
    replace: (store, entries) =>
      write(store, (objects) => {
        objects.clear()
        for (const [key, value] of entries) objects.put(value, key)
      }),
  }
}

/** Nothing here outlives the page. */
export function memoryRecords(): Records {
  const stores = new Map<StoreName, Map<string, unknown>>(STORES.map((name) => [name, new Map()]))
  const storeOf = (name: StoreName): Map<string, unknown> => stores.get(name)!
  const sorted = (name: StoreName) =>
    [...storeOf(name)].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return {
    isDurable: false,
    get: async (store, key) => storeOf(store).get(key),
    put: async (store, key, value) => void storeOf(store).set(key, value),
    remove: async (store, key) => void storeOf(store).delete(key),
    keys: async (store) => sorted(store).map(([key]) => key),
    values: async (store) => sorted(store).map(([, value]) => value),
    replace: async (store, entries) => void stores.set(store, new Map(entries)),
  }
}
