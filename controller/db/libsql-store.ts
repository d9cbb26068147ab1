/**
 * The store on libSQL: reads here on a connection of their own that cannot write, writes through the
 * write thread. The schema is brought up to date before anything else happens.
 */
import { fileURLToPath } from 'node:url'
import { createClient } from '@libsql/client'
import { and, between, desc, eq, gt, max, sql } from 'drizzle-orm'
import { drizzle, type LibSQLDatabase } from 'drizzle-orm/libsql'
import { migrate } from 'drizzle-orm/libsql/migrator'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import { assert } from '../../shared/kernel/assert.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { decodeCbor } from '../../shared/protocol/cbor-subset.ts'
import type { Window } from '../../shared/sketch/window.ts'
import { windowFromWire } from '../../shared/sketch/window-wire.ts'
import { connectionConfig, type DatabaseAddress, isFile, prepareConnection } from './connection.ts'
import { statementsFor } from './statements.ts'
import type { Store, StoredState, StoredWindow } from './store.ts'
import { TABLES } from './tables.ts'
import { createWriteThread } from './write-thread.ts'

const MIGRATIONS = fileURLToPath(new URL('./migrations', import.meta.url))
const WINDOW_BYTES_MAX = 1_048_576

/** @throws when the database cannot be opened or brought up to date. */
export async function openLibsqlStore(address: DatabaseAddress): Promise<Store> {
  const client = createClient(connectionConfig(address))
  await prepareConnection(client, address)
  const database = drizzle(client)
  await migrate(database, { migrationsFolder: MIGRATIONS })
  if (isFile(address)) await client.execute('PRAGMA query_only = ON')
  const thread = createWriteThread(address)
  return {
    async write(changes) {
      const statements = statementsFor(database, changes)
      if (statements.length > 0) await thread.write(statements)
    },
    load: () => load(database),
    ...windowReads(database),
    ...recordReads(database),
    async close() {
      await thread.close()
      client.close()
    },
  }
}

async function load(database: LibSQLDatabase): Promise<StoredState> {
  const rollouts = await database.select({ rollout: TABLES.rollouts.rollout }).from(TABLES.rollouts)
  const [decision] = await database.select({ id: max(TABLES.decisions.id) }).from(TABLES.decisions)
  const [notice] = await database.select({ id: max(TABLES.notices.id) }).from(TABLES.notices)
  const [audit] = await database
    .select({ id: TABLES.audit.id, hash: TABLES.audit.hash })
    .from(TABLES.audit)
    .orderBy(desc(TABLES.audit.id))
    .limit(1)
  return {
    fleet: await database.select().from(TABLES.fleet),
    metadata: (await database.select().from(TABLES.metadata)).map((row) => ({
      ...row,
      bytes: new Uint8Array(row.bytes),
    })),
    devices: await database.select().from(TABLES.devices),
    deviceStates: await database.select().from(TABLES.deviceStates),
    tokens: await database.select().from(TABLES.tokens),
    releases: await database.select().from(TABLES.releases),
    artifacts: await database.select().from(TABLES.artifacts),
    assignments: await database.select().from(TABLES.assignments),
    seen: await database.select().from(TABLES.seen),
    contributions: await database.select().from(TABLES.contributions),
    rollouts: rollouts.map((row) => row.rollout),
    lastIds: { decision: decision?.id ?? 0, notice: notice?.id ?? 0, audit: audit?.id ?? 0 },
    auditHash: audit?.hash ?? '',
  }
}

function windowReads(
  database: LibSQLDatabase,
): Pick<Store, 'window' | 'countsOf' | 'windowsOf' | 'windowsBetween'> {
  const { windows } = TABLES
  return {
    async window(key) {
      const [row] = await database
        .select()
        .from(windows)
        .where(
          and(
            eq(windows.rollout, key.rollout ?? ''),
            eq(windows.wave, key.wave),
            eq(windows.share, key.share),
            eq(windows.model, key.model),
            eq(windows.version, key.version),
            eq(windows.arm, key.arm),
            eq(windows.profile, key.profile),
            eq(windows.shape, key.shape),
            eq(windows.minute, key.minute),
          ),
        )
      return row && windowFromRow(row)
    },
    async countsOf(rollout) {
      const { wave, profile, version, minute } = windows
      const total = (column: SQLiteColumn) => sql<number>`sum(${column})`
      return database
        .select({
          ...{ wave, profile, version, newestMinute: sql<number>`max(${minute})` },
          counts: {
            requests: total(windows.requests),
            errors: total(windows.errors),
            latencyBad: total(windows.latencyBad),
            labelled: total(windows.labelled),
            correct: total(windows.correct),
            shadowCompared: total(windows.shadowCompared),
            shadowDisagreed: total(windows.shadowDisagreed),
          },
        })
        .from(windows)
        .where(eq(windows.rollout, rollout))
        .groupBy(wave, profile, version)
    },
    async windowsOf(rollout) {
      const rows = await database.select().from(windows).where(eq(windows.rollout, rollout))
      return rows.map(windowFromRow)
    },
    async windowsBetween(fromMinute, toMinute) {
      const inside = between(windows.minute, fromMinute, toMinute)
      return (await database.select().from(windows).where(inside)).map(windowFromRow)
    },
  }
}

function windowFromRow(row: typeof TABLES.windows.$inferSelect): StoredWindow {
  const { rollout, wave, share, model, version, arm, profile, shape, minute, messages } = row
  const key = { wave, share, model, version, arm, profile, shape, minute }
  return {
    ...key,
    rollout: rollout === '' ? null : rollout,
    messages,
    window: windowOf(row.window),
  }
}

/** We wrote it: bytes that are no window mean that the database is damaged. */
function windowOf(bytes: Uint8Array): Window {
  const limits = { bytesMax: WINDOW_BYTES_MAX, depthMax: 8, itemsMax: 100_000 }
  return unwrap(windowFromWire(unwrap(decodeCbor(new Uint8Array(bytes), limits))))
}

function recordReads(
  database: LibSQLDatabase,
): Pick<Store, 'decisionsOf' | 'noticesOf' | 'audit' | 'auditAfter'> {
  const { decisions, notices, audit } = TABLES
  return {
    async decisionsOf(rollout, limit) {
      assert(limit > 0, 'a limit on everything')
      const rows = await database
        .select()
        .from(decisions)
        .where(eq(decisions.rollout, rollout))
        .orderBy(desc(decisions.id))
        .limit(limit)
      return rows.map(({ id, record, inputs, inputsDigest }) => ({
        id,
        record,
        inputs,
        inputsDigest,
      }))
    },
    async noticesOf(device, limit) {
      const query = database.select().from(notices).$dynamic()
      if (device !== undefined) query.where(eq(notices.device, device))
      return query.orderBy(desc(notices.id)).limit(limit)
    },
    async audit(limit) {
      return database.select().from(audit).orderBy(desc(audit.id)).limit(limit)
    },
    async auditAfter(id, limit) {
      return database.select().from(audit).where(gt(audit.id, id)).orderBy(audit.id).limit(limit)
    },
  }
}
