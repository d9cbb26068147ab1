/**
 * The decision about one CONNECT: who it is, whether its last will may be, whose client id it is.
 * Invariant: a client id belongs to one connection at a time, and a newcomer that may take it over
 * waits until the last will of the holder is out.
 */
import { type Credentials, type IncomingMessage, mayTakeOver } from './admission.ts'
import { type ClientState, refuseIncoming } from './client-state.ts'
import type { Connection } from './connections.ts'

/** CONNACK return codes, MQTT 3.1.1 section 3.2.2.3. */
const IDENTIFIER_REJECTED = 2
export const SERVER_UNAVAILABLE = 3
export const NOT_AUTHORIZED = 5

interface ConnectRefusal {
  readonly code: string
  readonly returnCode: number
}

/** Decides a CONNECT; on success the client id belongs to this connection. */
export async function admit(
  state: ClientState,
  connection: Connection,
  credentials: Credentials,
  will: IncomingMessage | undefined,
): Promise<ConnectRefusal | undefined> {
  const authenticated = await state.access.authenticate(credentials)
  if (!authenticated.ok) return { code: authenticated.error.code, returnCode: NOT_AUTHORIZED }
  const identity = authenticated.value
  if (will !== undefined) {
    const refusal = refuseIncoming(state, identity, will)
    const isRefused = refusal !== undefined || will.qos === 2
    if (isRefused) return { code: 'will_refused', returnCode: NOT_AUTHORIZED }
  }
  const { clientId } = credentials
  for (;;) {
    const holder = state.sessions.get(clientId)
    if (holder === undefined) break
    if (holder.identity === undefined || !mayTakeOver(holder.identity, identity)) {
      return { code: 'client_id_taken', returnCode: IDENTIFIER_REJECTED }
    }
    holder.end('taken_over', false)
    // leave() waits for the same promise and was there first: the id is free again.
    await holder.finished
  }
  if (connection.stream.destroyed) return { code: 'client_gone', returnCode: SERVER_UNAVAILABLE }
  state.sessions.set(clientId, connection)
  connection.clientId = clientId
  connection.identity = identity
  return undefined
}
