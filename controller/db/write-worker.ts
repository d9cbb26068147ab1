/**
 * The thread that owns the only writing connection. The libSQL client blocks its thread while it
 * writes a file, which is why it has one to itself. Invariant: one message is one transaction.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { createClient } from '@libsql/client'
import { assert } from '../../shared/kernel/assert.ts'
import { toProblem } from '../../shared/kernel/result.ts'
import { connectionConfig, type DatabaseAddress, prepareConnection } from './connection.ts'
import type { Statement } from './statements.ts'

export interface WriteRequest {
  readonly id: number
  /** Absent: close and end. */
  readonly statements?: readonly Statement[]
}

export interface WriteReply {
  readonly id: number
  /** Absent when the batch is committed. */
  readonly error?: string
}

assert(parentPort !== null, 'the write worker runs as a thread')
const port = parentPort
const address = workerData as DatabaseAddress
const client = createClient(connectionConfig(address))
const prepared = prepareConnection(client, address)

/** One after the other: the next batch begins when the former is committed. */
let queue: Promise<void> = prepared.catch(() => undefined)

port.on('message', (request: WriteRequest) => {
  queue = queue.then(() => answer(request))
})

async function answer({ id, statements }: WriteRequest): Promise<void> {
  try {
    await prepared
    if (statements === undefined) {
      client.close()
      port.postMessage({ id } satisfies WriteReply)
      port.close()
      return
    }
    const batch = statements.map(({ sql, args }) => ({ sql, args: [...args] }))
    await client.batch(batch, 'write')
    port.postMessage({ id } satisfies WriteReply)
  } catch (cause) {
    const { message } = toProblem(cause, 'store.write_failed')
    port.postMessage({ id, error: message } satisfies WriteReply)
  }
}
