/**
 * The fleet in memory, and what of it is not stored yet. Everything that changes goes through `put`,
 * which changes the memory at once and adds the row to the next batch; the controller is the only
 * writer, so memory is never behind the database, and ahead of it by one batch at most.
 *
 * `stored` is what the database has of the rows that must never be shown before: a signed assignment
 * or metadata file that a crash takes back would be followed by another one under the same number.
 *
 * Invariant: nothing is told to anybody outside before the batch that holds it is committed; that is
 * the turn's to keep (turns.ts).
 */
import {
  type ForgettableTable,
  type Forgotten,
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
  'contributions',
] as const
type Kept = (typeof KEPT)[number]

type Guarded = 'assignments' | 'metadata'

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
  readonly stored: { readonly [T in Guarded]: ReadonlyMap<string, Rows[T]> }
  put<T extends TableName>(table: T, row: Rows[T]): void
  remove<T extends ForgettableTable>(table: T, row: Rows[T]): void
  forget(what: Forgotten): void
  nextId(kind: keyof StoredState['lastIds']): number
  /** What is not stored yet; it counts as taken from here on. */
  take(): StoreChange[]
  waiting(): number
  /** These changes are in the database. */
  settle(changes: readonly StoreChange[]): void
  /** Grows with every change that a reconcile could see. */
  revision(): number
}

export function createLedger(stored: StoredState): Ledger {
  const rows = Object.fromEntries(
    KEPT.map((table) => [table, mapOf(table, stored[table])]),
  ) as unknown as { [T in Kept]: Map<string, Rows[T]> }
  const settled = {
    assignments: mapOf('assignments', stored.assignments),
    metadata: mapOf('metadata', stored.metadata),
  }
  const lastIds = { ...stored.lastIds }
  let changes: StoreChange[] = []
  let revision = 0

  return {
    rows,
    stored: settled,
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
    forget(what) {
      changes.push(what)
    },
    nextId: (kind) => ++lastIds[kind],
    take() {
      const taken = changes
      changes = []
      return taken
    },
    waiting: () => changes.length,
    settle(batch) {
      for (const change of batch) {
        if ('remove' in change) {
          if (change.remove === 'metadata') settled.metadata.delete(KEY_OF.metadata(change.row))
        } else if ('put' in change) {
          if (change.put === 'metadata') settled.metadata.set(change.row.file, change.row)
          if (change.put === 'assignments') settled.assignments.set(change.row.device, change.row)
        }
      }
    },
    revision: () => revision,
  }
}

function mapOf<T extends Kept>(table: T, list: readonly Rows[T][]): Map<string, Rows[T]> {
  return new Map(list.map((row) => [KEY_OF[table](row), row]))
}
