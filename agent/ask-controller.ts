/**
 * What a device asks its controller over HTTP, beside metadata and artifacts: its newest assignment
 * and the time. The answers are not trusted here: they are signed, and checked by who asked.
 */
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import { fetchBounded } from '../shared/node/http-download.ts'
import { ASSIGNMENT_BYTES_MAX } from '../shared/signing/assignment.ts'
import { mintDeviceJwt } from '../shared/signing/device-jwt.ts'
import type { Signer } from '../shared/signing/keys.ts'
import type { FetchReply } from '../shared/signing/tuf/effects.ts'

const LIMITS = { deadlineMs: 30_000, bytesPerSecondMin: 64 }
const TIME_BYTES_MAX = 4_096
const TOKEN_LIFETIME_MS = 60_000

/** Who asks, and how it proves that. */
export interface Asking {
  readonly fleet: string
  readonly device: string
  readonly signer: Signer
  /** As the controller has it: fleet-clock.ts. */
  readonly nowMs: () => number
  /** Asks for the time; true where it was told, and then `nowMs` is another. */
  readonly askTime: () => Promise<boolean>
  /** At least 16 characters of [A-Za-z0-9_-]; never twice. */
  readonly randomId: () => string
}

/** The newest assignment as the controller has it; undefined when there is none, or no answer. */
export async function askAssignment(
  controller: string,
  asking: Asking,
): Promise<string | undefined> {
  const first = await fetchAssignment(controller, asking)
  const isRefused = first.kind === 'failed' && first.status === 401
  const reply =
    isRefused && (await asking.askTime()) ? await fetchAssignment(controller, asking) : first
  return reply.kind === 'fetched' ? fromUtf8(reply.bytes) : undefined
}

async function fetchAssignment(
  controller: string,
  { fleet, device, signer, nowMs, randomId }: Asking,
): Promise<FetchReply> {
  const claims = { fleet, device, use: 'http' as const, nowMs: nowMs(), jti: randomId() }
  const token = await mintDeviceJwt({ ...claims, lifetimeMs: TOKEN_LIFETIME_MS }, signer)
  const url = `${controller}/api/v1/devices/${device}/assignment`
  const headers = { authorization: `Bearer ${token}` }
  return fetchBounded(url, { ...LIMITS, headers, bytesMax: ASSIGNMENT_BYTES_MAX })
}

/** The time, signed for this nonce (signed-time.ts); undefined when there is no answer. */
export async function fetchTime(
  controller: string,
  device: string,
  nonce: string,
): Promise<Uint8Array | undefined> {
  const url = `${controller}/api/v1/devices/${device}/time?nonce=${nonce}`
  const reply = await fetchBounded(url, { ...LIMITS, bytesMax: TIME_BYTES_MAX })
  return reply.kind === 'fetched' ? reply.bytes : undefined
}
