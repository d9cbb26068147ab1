/**
 * How a device becomes a member of a fleet: it makes a key, trusts the root that its token names,
 * and asks the controller to admit it.
 *
 * Invariant: after a crash at any point the same command goes on: the key is durable before anyone
 * hears of it, and enrolling again with the same key gives the same device. The token is not kept.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import { ok, ProblemError, type Result, refuse } from '../shared/kernel/result.ts'
import { sha256Hex } from '../shared/kernel/sha256.ts'
import { type DeviceFacts, problemSchema } from '../shared/model/device.ts'
import { enrolmentAnswerSchema, type Identity, identitySchema } from '../shared/model/identity.ts'
import { readFileBounded, writeFileAtomic } from '../shared/node/atomic-file.ts'
import { fetchBounded } from '../shared/node/http-download.ts'
import { loadSigner, writeKeyFile } from '../shared/node/key-files.ts'
import { generatePrivateKey } from '../shared/node/signer-node.ts'
import { signEnrolment } from '../shared/signing/enrolment.ts'
import { parseEnrolmentToken } from '../shared/signing/enrolment-token.ts'
import { envelopeBytes } from '../shared/signing/envelope.ts'
import { keyId, type SyncSigner } from '../shared/signing/keys.ts'

export interface HomePaths {
  readonly identity: string
  readonly key: string
  /** Trusted TUF metadata. */
  readonly metadata: string
}

export function homePaths(home: string): HomePaths {
  return {
    identity: join(home, 'identity.json'),
    key: join(home, 'device-key.json'),
    metadata: join(home, 'tuf'),
  }
}

/** @returns undefined when this device never enrolled. */
export async function loadIdentity(paths: HomePaths): Promise<Identity | undefined> {
  const bytes = await readFileBounded(paths.identity, 65_536)
  if (bytes === undefined) return undefined
  return identitySchema.parse(JSON.parse(fromUtf8(bytes) ?? ''))
}

/** The device's key, made on the first call; its file has mode 0600. */
export async function deviceSigner(paths: HomePaths): Promise<SyncSigner> {
  try {
    return await loadSigner(paths.key)
  } catch (cause) {
    const isMissing = cause instanceof ProblemError && cause.problem.code === 'key_file.missing'
    if (!isMissing) throw cause
  }
  await writeKeyFile(paths.key, generatePrivateKey('ed25519'))
  return loadSigner(paths.key)
}

export interface EnrolOptions {
  /** Base URL. */
  readonly controller: string
  readonly token: string
  readonly facts: DeviceFacts
  /** The id that the device would like; else one made from its key. */
  readonly device?: string | undefined
}

/**
 * Errors: `enrolment.token`, `enrolment.root` (the controller has no root as the token names it),
 * `net.http`, `net.interrupted`, and the controller's own refusals.
 */
export async function enrol(
  paths: HomePaths,
  signer: SyncSigner,
  options: EnrolOptions,
): Promise<Result<Identity>> {
  const token = parseEnrolmentToken(options.token)
  if (!token.ok) return token
  const root = await fetchRoot(options.controller, token.value.rootSha256)
  if (!root.ok) return root
  const signed = signEnrolment(
    {
      fleet: token.value.fleet,
      device: options.device ?? `d-${keyId(signer.key).slice(0, 12)}`,
      token: options.token,
      nonce: randomBytes(16).toString('hex'),
      facts: options.facts,
    },
    signer,
  )
  if (!signed.ok) return signed
  const answer = await post(`${options.controller}/api/v1/enrol`, envelopeBytes(signed.value))
  if (!answer.ok) return answer
  const identity: Identity = { schema: 'linnet.identity.v1', ...answer.value }
  await writeFileAtomic(join(paths.metadata, 'root.json'), root.value, { mode: 0o600 })
  await writeFileAtomic(paths.identity, `${JSON.stringify(identity, null, 2)}\n`, { mode: 0o600 })
  return ok(identity)
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
    const response = await fetch(url, { method: 'POST', body: Buffer.from(body), headers, signal })
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
