/**
 * How a connection is opened: a libSQL file beside the controller, or a server elsewhere. Pragmas
 * belong to a connection, so each client keeps exactly one and sets them once.
 */
import type { Client, Config } from '@libsql/client'

export interface DatabaseAddress {
  /** `file:/path/linnet.db`, or `libsql://host` with a token. */
  readonly url: string
  readonly authToken?: string | undefined
}

const BUSY_TIMEOUT_MS = 5_000

export function connectionConfig({ url, authToken }: DatabaseAddress): Config {
  const token = authToken === undefined ? {} : { authToken }
  return { url, ...token, timeout: BUSY_TIMEOUT_MS, concurrency: isFile({ url }) ? 1 : 20 }
}

/** A committed batch survives the end of the process; NORMAL may lose it with the machine's power. */
export async function prepareConnection(client: Client, address: DatabaseAddress): Promise<void> {
  if (!isFile(address)) return
  await client.execute('PRAGMA journal_mode = WAL')
  await client.execute('PRAGMA synchronous = NORMAL')
  await client.execute(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`)
}

export function isFile({ url }: DatabaseAddress): boolean {
  return url.startsWith('file:')
}
