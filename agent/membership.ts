/**
 * How a device asks to become a member of a fleet: it trusts the root that its token names and proves
 * that it holds its key. Whether it takes unproven releases is between it and the token, which comes
 * from the publishers: no answer of the controller changes it. The same on Node and in the browser; where key and membership are kept is
 * left to them. Asking again with the same key gives the same device.
 */
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import { sha256Hex } from '../shared/kernel/sha256.ts'
import { type DeviceFacts, problemSchema } from '../shared/model/device.ts'
import { enrolmentAnswerSchema, type Identity } from '../shared/model/identity.ts'
import { fetchBounded } from '../shared/node/http-download.ts'
import { signEnrolment } from '../shared/signing/enrolment.ts'
import { parseEnrolmentToken } from '../shared/signing/enrolment-token.ts'
import { envelopeBytes } from '../shared/signing/envelope.ts'
import { keyId, type Signer } from '../shared/signing/keys.ts'

export interface MembershipRequest {
  /** Base URL. */
  readonly controller: string
  readonly token: string
  readonly facts: DeviceFacts
  /** The id that the device would like; else one made from its key. */
  readonly device?: string | undefined
  /** 32 random hex digits. */
  readonly nonce: string
  /** What the device was installed or enrolled for before; else as the token says. */
  readonly staging?: boolean | undefined
}

export interface Membership {
  readonly identity: Identity
  /** The root metadata that the token names, as published. */
  readonly root: Uint8Array
}

/**
 * Errors: `enrolment.token`, `enrolment.root` (the controller has no root as the token names it),
 * `net.http`, `net.interrupted`, and the controller's own refusals.
 */
export async function askForMembership(
  signer: Signer,
  { controller, token: text, facts: plain, device, nonce, ...more }: MembershipRequest,
): Promise<Result<Membership>> {
  const token = parseEnrolmentToken(text)
  if (!token.ok) return token
  const root = await fetchRoot(controller, token.value.rootSha256)
  if (!root.ok) return root
  const { fleet } = token.value
  const name = device ?? `d-${keyId(signer.key).slice(0, 12)}`
  const staging = more.staging ?? token.value.staging === true
  const facts = staging ? { ...plain, staging } : plain
  const request = { fleet, device: name, token: text, nonce, facts, issuedAt: Date.now() }
  const signed = await signEnrolment(request, signer)
  if (!signed.ok) return signed
  const answer = await post(`${controller}/api/v1/enrol`, envelopeBytes(signed.value))
  if (!answer.ok) return answer
  const identity: Identity = { schema: 'linnet.identity.v1', ...answer.value }
  return ok({ identity: staging ? { ...identity, staging } : identity, root: root.value })
}

const ROOT_VERSIONS_MAX = 64
const ROOT_BYTES_MAX = 512_000
const LIMITS = { bytesMax: ROOT_BYTES_MAX, deadlineMs: 30_000, bytesPerSecondMin: 64 }

/** The token names a root by digest, not by version: the chain is walked until it matches. */
async function fetchRoot(controller: string, rootSha256: string): Promise<Result<Uint8Array>> {
  for (let version = 1; version <= ROOT_VERSIONS_MAX; version++) {
    const reply = await fetchBounded(`${controller}/tuf/metadata/${version}.root.json`, LIMITS)
    if (reply.kind === 'absent') break
    if (reply.kind === 'failed') return refuse('net.interrupted', reply.problem.message)
    if (sha256Hex(reply.bytes) === rootSha256) return ok(reply.bytes)
  }
  return refuse('enrolment.root', 'The controller has no root of trust as the token names it.', {
    expected: `a root file with SHA-256 ${rootSha256}`,
    next: 'check the token and the address of the controller',
  })
}

async function post(url: string, body: Uint8Array): Promise<Result<Omit<Identity, 'schema'>>> {
  const headers = { 'content-type': 'application/json' }
  const signal = AbortSignal.timeout(30_000)
  try {
    const response = await fetch(url, {
      method: 'POST',
      body: new Uint8Array(body),
      headers,
      signal,
    })
    const json: unknown = await response.json().catch(() => undefined)
    if (response.ok) {
      const answer = enrolmentAnswerSchema.safeParse(json)
      if (answer.success) return ok(answer.data)
      return refuse('net.http', 'The answer to the enrolment has not the expected form.')
    }
    const refusal = problemSchema.safeParse((json as { error?: unknown } | undefined)?.error)
    if (refusal.success) return { ok: false, error: refusal.data }
    return refuse('net.http', 'The controller refused the enrolment.', {
      found: `status ${response.status}`,
    })
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.cause ?? cause) : cause
    return refuse('net.interrupted', 'The controller cannot be reached.', { found: String(reason) })
  }
}
