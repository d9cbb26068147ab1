/**
 * The fleet in memory, and what of it is not stored yet. Everything that changes goes through `put`,
 * which changes the memory at once and adds the row to the next batch; the controller is the only
 * writer, so memory is never behind the database, and ahead of it by one batch at most.
 *
 * Invariant: nothing is told to anybody outside before the batch that holds it is committed; that is
 * the turn's to keep (turns.ts).
 */
import {
  type ForgettableTable,
  KEY_OF,
  type Rows,
  type StoreChange,
  type StoredState,
  type TableName,
} from './db/store.ts'

/** Tables whose rows stay in memory; the others are only written and read back when asked for. */
const KEPT = [
  'fleet',
  'metadata',
  'devices',
  'deviceStates',
  'tokens',
  'releases',
  'artifacts',
  'rollouts',
  'assignments',
  'seen',
] as const
type Kept = (typeof KEPT)[number]

/** What a reconcile could decide differently on. */
const WATCHED: ReadonlySet<TableName> = new Set([
  'devices',
  'deviceStates',
  'releases',
  'rollouts',
  'metadata',
])

export interface Ledger {
  readonly rows: { readonly [T in Kept]: ReadonlyMap<string, Rows[T]> }
  put<T extends TableName>(table: T, row: Rows[T]): void
  remove<T extends ForgettableTable>(table: T, row: Rows[T]): void
  forgetWindowsBefore(minute: number): void
  nextId(kind: keyof StoredState['lastIds']): number
  /** What is not stored yet; it counts as taken from here on. */
  take(): StoreChange[]
  waiting(): number
  /** Grows with every change that a reconcile could see. */
  revision(): number
}

export function createLedger(stored: StoredState): Ledger {
  const rows = Object.fromEntries(
    KEPT.map((table) => [table, mapOf(table, stored[table])]),
  ) as unknown as { [T in Kept]: Map<string, Rows[T]> }
  const lastIds = { ...stored.lastIds }
  let changes: StoreChange[] = []
  let revision = 0

  return {
    rows,
    put(table, row) {
      const kept: Map<string, Rows[typeof table]> | undefined = (
        rows as { [T in TableName]?: Map<string, Rows[T]> }
      )[table]
      kept?.set(KEY_OF[table](row), row)
      if (WATCHED.has(table)) revision++
      changes.push({ put: table, row } as StoreChange)
    },
    remove(table, row) {
      rows[table].delete(KEY_OF[table](row))
      changes.push({ remove: table, row } as StoreChange)
    },
    forgetWindowsBefore(minute) {
      changes.push({ forgetWindowsBeforeMinute: minute })
    },
    nextId: (kind) => ++lastIds[kind],
    take() {
      const taken = changes
      changes = []
      return taken
    },
    waiting: () => changes.length,
    revision: () => revision,
  }
}

function mapOf<T extends Kept>(table: T, list: readonly Rows[T][]): Map<string, Rows[T]> {
  return new Map(list.map((row) => [KEY_OF[table](row), row]))
}
