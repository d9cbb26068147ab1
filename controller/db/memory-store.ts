/**
 * The store as plain maps, for simulation and tests: the same contract, no file. It outlives the
 * controller that uses it, as a database does, so that a crash and a restart can be simulated.
 */
import { addArms, armCounts, NO_COUNTS } from '../../shared/judge/arm-counts.ts'
import {
  type Forgotten,
  KEY_OF,
  type Rows,
  type Store,
  type StoreChange,
  type StoredCounts,
  type StoredState,
  type StoredWindow,
  type TableName,
  windowKeyText,
} from './store.ts'

type Tables = { readonly [T in TableName]: Map<string, Rows[T]> }

export function createMemoryStore(): Store {
  const tables = emptyTables()
  return {
    async write(changes) {
      for (const change of changes) apply(tables, change)
    },
    load: async () => loadTables(tables),
    window: async (key) => tables.windows.get(windowKeyText(key)),
    countsOf: async (rollout) => countsOf(tables, rollout),
    windowsOf: async (rollout) => windowsWhere(tables, (row) => row.rollout === rollout),
    windowsBetween: async (from, to) =>
      windowsWhere(tables, (row) => row.minute >= from && row.minute <= to),
    decisionsOf: async (rollout, limit) =>
      newest(tables.decisions, limit, (row) => row.record.rollout === rollout),
    noticesOf: async (device, limit) =>
      newest(tables.notices, limit, (row) => device === undefined || row.device === device),
    audit: async (limit) => newest(tables.audit, limit, () => true),
    auditAfter: async (id, limit) =>
      newest(tables.audit, tables.audit.size, (row) => row.id > id)
        .toReversed()
        .slice(0, limit),
    /** Keeps its rows: the next controller finds them. */
    close: async () => undefined,
  }
}

function emptyTables(): Tables {
  const tables = Object.keys(KEY_OF).map((name) => [name, new Map()])
  return Object.fromEntries(tables) as Tables
}

function apply(tables: Tables, change: StoreChange): void {
  if ('put' in change) put(tables, change.put, change.row)
  else if ('remove' in change) tables[change.remove].delete(keyOf(change.remove, change.row))
  else forget(tables, change)
}

function forget({ windows, notices }: Tables, what: Forgotten): void {
  if ('forgetWindowsBeforeMinute' in what) {
    drop(windows, ({ minute }) => minute < what.forgetWindowsBeforeMinute)
  } else if ('forgetNoticesOf' in what) {
    const isIts = (row: Rows['notices']) => row.device === what.forgetNoticesOf
    const kept = new Set(newest(notices, what.keep, isIts))
    drop(notices, (row) => isIts(row) && !kept.has(row))
  } else {
    drop(notices, ({ receivedAtMs }) => receivedAtMs < what.forgetNoticesBeforeMs)
  }
}

function drop<R>(table: Map<string, R>, isOld: (row: R) => boolean): void {
  for (const [key, row] of table) if (isOld(row)) table.delete(key)
}

function put<T extends TableName>(tables: Tables, name: T, row: Rows[TableName]): void {
  const table: Map<string, Rows[T]> = tables[name]
  table.set(keyOf(name, row), row as Rows[T])
}

function keyOf<T extends TableName>(name: T, row: Rows[TableName]): string {
  return KEY_OF[name](row as Rows[T])
}

function loadTables(tables: Tables): StoredState {
  const all = <T extends TableName>(name: T): Rows[T][] => [...tables[name].values()]
  const audit = newest(tables.audit, 1, () => true)[0]
  return {
    fleet: all('fleet'),
    metadata: all('metadata'),
    devices: all('devices'),
    deviceStates: all('deviceStates'),
    tokens: all('tokens'),
    releases: all('releases'),
    artifacts: all('artifacts'),
    rollouts: all('rollouts'),
    assignments: all('assignments'),
    seen: all('seen'),
    contributions: all('contributions'),
    lastIds: {
      decision: newest(tables.decisions, 1, () => true)[0]?.id ?? 0,
      notice: newest(tables.notices, 1, () => true)[0]?.id ?? 0,
      audit: audit?.id ?? 0,
    },
    auditHash: audit?.hash ?? '',
  }
}

function countsOf(tables: Tables, rollout: string): StoredCounts[] {
  const sums = new Map<string, StoredCounts>()
  for (const row of windowsWhere(tables, (window) => window.rollout === rollout)) {
    const { wave, profile, version, minute } = row
    const key = `${wave}/${profile}/${version}`
    const known = sums.get(key)
    const counts = addArms([known?.counts ?? NO_COUNTS, armCounts(row.window)])
    const newestMinute = Math.max(known?.newestMinute ?? 0, minute)
    sums.set(key, { wave, profile, version, counts, newestMinute })
  }
  return [...sums.values()]
}

function windowsWhere(tables: Tables, wanted: (row: StoredWindow) => boolean): StoredWindow[] {
  return [...tables.windows.values()].filter(wanted)
}

function newest<R extends { readonly id: number }>(
  table: ReadonlyMap<string, R>,
  limit: number,
  wanted: (row: R) => boolean,
): R[] {
  return [...table.values()]
    .filter(wanted)
    .toSorted((a, b) => b.id - a.id)
    .slice(0, limit)
}
