/**
 * A program for stores.test.ts to kill: saves state n and record n, says n, goes on with n + 1. It
 * starts after what it finds, and rewrites its journal now and then.
 */
import { join } from 'node:path'
import { createFileSpoolStore } from '../../agent/store/file-spool-store.ts'
import { createFileStateStore } from '../../agent/store/file-state-store.ts'
import { initialDeviceState } from '../../shared/update/state.ts'

const folder = process.argv[2]!
const log = { info: () => undefined, warn: () => undefined }
const states = createFileStateStore(join(folder, 'state.json'), log)
const spool = createFileSpoolStore(join(folder, 'spool.log'))

const found = await states.load()
const { durable } = initialDeviceState()
for (let n = Math.max(0, found?.order.generation ?? 0) + 1; ; n++) {
  await states.save({ ...durable, order: { ...durable.order, generation: n } })
  const last = Number((await spool.load()).at(-1) ?? 0)
  if (last < n) await spool.append([`${n}`])
  if (n % 7 === 0) await spool.replace([`${n}`])
  process.stdout.write(`${n}\n`)
}
