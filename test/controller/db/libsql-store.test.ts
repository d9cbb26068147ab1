import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@libsql/client'
import { afterEach, describe, expect, it } from 'vitest'
import { openLibsqlStore } from '../../../controller/db/libsql-store.ts'
import type { Store } from '../../../controller/db/store.ts'
import { type StoreUnderTest, storeContract, windowRow } from '../../contract/store.contract.ts'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

async function openInFolder(): Promise<StoreUnderTest & { url: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'linnet-store-'))
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  const url = `file:${join(folder, 'linnet.db')}`
  const open = async (): Promise<Store> => {
    const store = await openLibsqlStore({ url })
    cleanups.push(() => store.close())
    return store
  }
  const store = await open()
  const reopen = async () => {
    await store.close()
    return open()
  }
  return { store, reopen, url }
}

const driftAlarm = {
  kind: 'drift_alarm' as const,
  atMs: 1,
  subject: 'motor',
  problem: { code: 'drift.alarm', message: 'The inputs have moved.' },
}

describe('the store on a libSQL file', () => {
  storeContract(openInFolder)

  it('keeps nothing of a batch that fails', async () => {
    const { store, url } = await openInFolder()
    const client = createClient({ url })
    await client.execute(
      "CREATE TRIGGER refuse BEFORE INSERT ON notices BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    const failing = store.write([
      { put: 'fleet', row: { key: 'fleet', value: 'plant' } },
      {
        put: 'notices',
        row: { id: 1, device: 'd1', receivedAtMs: 1, notice: driftAlarm },
      },
    ])
    await expect(failing).rejects.toMatchObject({ problem: { code: 'store.write_failed' } })
    expect((await store.load()).fleet).toEqual([])
    await client.execute('DROP TRIGGER refuse')
    client.close()
    await store.write([{ put: 'fleet', row: { key: 'fleet', value: 'plant' } }])
    expect((await store.load()).fleet).toHaveLength(1)
  })

  it('keeps the counts of verdicts in columns that SQL can add up', async () => {
    const { store, url } = await openInFolder()
    await store.write([
      { put: 'windows', row: windowRow(10) },
      { put: 'windows', row: windowRow(6, { minute: 29_000_001 }) },
    ])
    const client = createClient({ url })
    const { rows } = await client.execute(
      'SELECT sum(requests) AS n, sum(errors) AS errors, sum(latency_bad) AS bad FROM windows',
    )
    client.close()
    expect(rows[0]).toMatchObject({ n: 16, errors: 2, bad: 8 })
  })

  it('refuses to write once it is closed', async () => {
    const { store } = await openInFolder()
    await store.close()
    const late = store.write([{ put: 'fleet', row: { key: 'fleet', value: 'plant' } }])
    await expect(late).rejects.toMatchObject({ problem: { code: 'store.closed' } })
  })
})
