/**
 * The agent's stores on a browser's records. Each write is one IndexedDB transaction, so a page that
 * is closed at any moment finds the old or the new value, whole.
 */
import { durableSchema } from '../../shared/update/durable-schema.ts'
import type { Log, SmallFiles, SpoolStore, StateStore } from '../ports.ts'
import type { Records, StoreName } from './records.ts'

const STATE = 'state'
const STATE_BEFORE = 'state.previous'

export function createWebStateStore(records: Records, log: Log): StateStore {
  return {
    async load() {
      for (const key of [STATE, STATE_BEFORE]) {
        const stored = await records.get('device', key)
        const durable = durableSchema.safeParse(stored)
        if (durable.success) return durable.data
        if (stored !== undefined) log.warn('the device state cannot be read', { key })
      }
      return undefined
    },
    async save(durable) {
      const before = await records.get('device', STATE)
      if (before !== undefined) await records.put('device', STATE_BEFORE, before)
      await records.put('device', STATE, durable)
    },
  }
}

/** Records are numbered in the order of writing. */
export function createWebSpoolStore(records: Records): SpoolStore {
  let last = 0
  const nextKey = (): string => {
    last += 1
    return String(last).padStart(12, '0')
  }
  return {
    async load() {
      const keys = await records.keys('spool')
      last = Number(keys.at(-1) ?? 0)
      const values = await records.values('spool')
      return values.filter((value): value is string[] => Array.isArray(value)).flat()
    },
    append: (texts) => records.put('spool', nextKey(), [...texts]),
    replace: (texts) => records.replace('spool', [[nextKey(), [...texts]]]),
  }
}

export function createWebSmallFiles(records: Records, store: StoreName): SmallFiles {
  return {
    async read(name) {
      const text = await records.get(store, name)
      return typeof text === 'string' ? text : undefined
    },
    write: (name, text) => records.put(store, name, text),
    names: () => records.keys(store),
    remove: (name) => records.remove(store, name),
  }
}
