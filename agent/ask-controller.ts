/**
 * What a device asks its controller over HTTP, beside metadata and artifacts: its newest assignment
 * and the time. Nothing here is trusted: the answers are signed, and checked by who asked.
 */
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import { fetchBounded } from '../shared/node/http-download.ts'
import { ASSIGNMENT_BYTES_MAX } from '../shared/signing/assignment.ts'

const LIMITS = { deadlineMs: 30_000, bytesPerSecondMin: 64 }
const TIME_BYTES_MAX = 4_096

/** The newest assignment as the controller has it; undefined when there is none, or no answer. */
export async function askAssignment(
  controller: string,
  device: string,
): Promise<string | undefined> {
  const url = `${controller}/api/v1/devices/${device}/assignment`
  const reply = await fetchBounded(url, { ...LIMITS, bytesMax: ASSIGNMENT_BYTES_MAX })
  return reply.kind === 'fetched' ? fromUtf8(reply.bytes) : undefined
}

/** The time, signed for this nonce (signed-time.ts); undefined when there is no answer. */
export async function askTime(
  controller: string,
  device: string,
  nonce: string,
): Promise<Uint8Array | undefined> {
  const url = `${controller}/api/v1/devices/${device}/time?nonce=${nonce}`
  const reply = await fetchBounded(url, { ...LIMITS, bytesMax: TIME_BYTES_MAX })
  return reply.kind === 'fetched' ? reply.bytes : undefined
}
