/**
 * From a batch of changes to SQL: for each table one upsert for up to 500 rows, built by drizzle from
 * the schema. Invariant: within a batch the last row of a key wins, so a statement never names the
 * same key twice. Running them is the write thread's matter.
 */
import { and, desc, eq, getTableColumns, lt, notInArray, type SQL, sql } from 'drizzle-orm'
import type { LibSQLDatabase } from 'drizzle-orm/libsql'
import { getTableConfig, type SQLiteColumn, type SQLiteTable } from 'drizzle-orm/sqlite-core'
import { armCounts } from '../../shared/judge/arm-counts.ts'
import { assert } from '../../shared/kernel/assert.ts'
import { encodeCbor } from '../../shared/protocol/cbor-subset.ts'
import { windowToWire } from '../../shared/sketch/window-wire.ts'
import { type Forgotten, KEY_OF, type Rows, type StoreChange, type TableName } from './store.ts'
import { TABLES } from './tables.ts'

/** What crosses to the write thread: plain values only. */
export interface Statement {
  readonly sql: string
  readonly args: readonly (string | number | null | Uint8Array)[]
}

type Row = Readonly<Record<string, unknown>>

/** More than this costs more to prepare than it saves (architecture.md: 45,000 rows/s with 500). */
const ROWS_MAX = 500
/** SQLite's own limit on parameters is 32,766. */
const PARAMETERS_MAX = 30_000

/** Rows that look different in SQL than in memory. */
const TO_SQL: { readonly [T in TableName]?: (row: Rows[T]) => Row } = {
  rollouts: (rollout) => ({
    id: rollout.id,
    model: rollout.spec.model,
    state: rollout.state,
    createdAtMs: rollout.createdAtMs,
    rollout,
  }),
  decisions: (row) => ({ ...row, rollout: row.record.rollout, atMs: row.record.atMs }),
  windows: (row) => ({
    ...row,
    rollout: row.rollout ?? '',
    ...armCounts(row.window),
    window: encodeCbor(windowToWire(row.window)),
  }),
}

export function statementsFor(
  database: LibSQLDatabase,
  changes: readonly StoreChange[],
): Statement[] {
  const last = new Map<string, StoreChange>()
  for (const change of changes) {
    const key = changeKey(change)
    // Deleted first, so that the order of tables is the order of the newest changes.
    last.delete(key)
    last.set(key, change)
  }
  const puts = new Map<TableName, Row[]>()
  const rest: Statement[] = []
  for (const change of last.values()) {
    if ('put' in change) {
      const rows = puts.get(change.put) ?? []
      rows.push(rowToSql(change))
      puts.set(change.put, rows)
    } else if ('remove' in change) {
      rest.push(removal(database, change))
    } else {
      rest.push(toStatement(forgetting(database, change).toSQL()))
    }
  }
  const upserts = [...puts].flatMap(([name, rows]) => upsert(database, TABLES[name], rows))
  return [...upserts, ...rest]
}

function changeKey(change: StoreChange): string {
  if ('put' in change) return `${change.put}/${keyOf(change.put, change.row)}`
  if ('remove' in change) return `${change.remove}/${keyOf(change.remove, change.row)}`
  return JSON.stringify(change)
}

function forgetting(database: LibSQLDatabase, what: Forgotten) {
  const { windows, notices } = TABLES
  if ('forgetWindowsBeforeMinute' in what) {
    return database.delete(windows).where(lt(windows.minute, what.forgetWindowsBeforeMinute))
  }
  if ('forgetNoticesBeforeMs' in what) {
    return database.delete(notices).where(lt(notices.receivedAtMs, what.forgetNoticesBeforeMs))
  }
  const isIts = eq(notices.device, what.forgetNoticesOf)
  const its = database.select({ id: notices.id }).from(notices).where(isIts)
  const newest = its.orderBy(desc(notices.id)).limit(what.keep)
  return database.delete(notices).where(and(isIts, notInArray(notices.id, newest)))
}

/** TypeScript cannot tie a name to its row through a union. */
function keyOf<T extends TableName>(name: T, row: Rows[TableName]): string {
  return KEY_OF[name](row as Rows[T])
}

function rowToSql<T extends TableName>(change: { put: T; row: Rows[TableName] }): Row {
  const toSql = TO_SQL[change.put]
  return toSql === undefined ? (change.row as unknown as Row) : toSql(change.row as Rows[T])
}

function upsert(database: LibSQLDatabase, table: SQLiteTable, rows: readonly Row[]): Statement[] {
  const columns = Object.entries(getTableColumns(table))
  const keys = primaryKeyOf(table)
  const set: Record<string, SQL> = {}
  for (const [name, column] of columns) {
    if (!keys.includes(column)) set[name] = sql.raw(`excluded."${column.name}"`)
  }
  const chunk = Math.min(ROWS_MAX, Math.floor(PARAMETERS_MAX / columns.length))
  const statements: Statement[] = []
  for (let i = 0; i < rows.length; i += chunk) {
    const values = rows.slice(i, i + chunk)
    const query = database.insert(table).values(values).onConflictDoUpdate({ target: keys, set })
    statements.push(toStatement(query.toSQL()))
  }
  return statements
}

function primaryKeyOf(table: SQLiteTable): SQLiteColumn[] {
  const { columns, primaryKeys } = getTableConfig(table)
  return primaryKeys[0]?.columns ?? columns.filter((column) => column.primary)
}

function removal(
  database: LibSQLDatabase,
  change: Extract<StoreChange, { readonly remove: unknown }>,
): Statement {
  const table = TABLES[change.remove]
  const row = change.row as unknown as Row
  const columns = getTableColumns(table) as Record<string, SQLiteColumn>
  const keys = primaryKeyOf(table)
  const matches = Object.entries(columns)
    .filter(([, column]) => keys.includes(column))
    .map(([name, column]) => eq(column, row[name]))
  return toStatement(
    database
      .delete(table)
      .where(and(...matches))
      .toSQL(),
  )
}

function toStatement(query: { sql: string; params: readonly unknown[] }): Statement {
  const args = query.params.map((param) => {
    const plain =
      param === null ||
      typeof param === 'string' ||
      typeof param === 'number' ||
      param instanceof Uint8Array
    assert(plain, `a parameter of ${query.sql.slice(0, 60)} is a ${typeof param}`)
    return param
  })
  return { sql: query.sql, args }
}
