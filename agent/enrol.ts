/**
 * How a Node device becomes a member of a fleet: it makes a key, asks (membership.ts) and keeps what it
 * was told.
 *
 * Invariant: after a crash at any point the same command goes on: the key is durable before anyone
 * hears of it, and enrolling again with the same key gives the same device. The token is not kept.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import { ok, ProblemError, type Result } from '../shared/kernel/result.ts'
import { type Identity, identitySchema } from '../shared/model/identity.ts'
import { readFileBounded, writeFileAtomic } from '../shared/node/atomic-file.ts'
import { loadSigner, writeKeyFile } from '../shared/node/key-files.ts'
import { generatePrivateKey } from '../shared/node/signer-node.ts'
import type { SyncSigner } from '../shared/signing/keys.ts'
import { askForMembership, type MembershipRequest } from './membership.ts'

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

/** Errors: those of `askForMembership`. */
export async function enrol(
  paths: HomePaths,
  signer: SyncSigner,
  request: Omit<MembershipRequest, 'nonce'>,
): Promise<Result<Identity>> {
  const nonce = randomBytes(16).toString('hex')
  const joined = await askForMembership(signer, { ...request, nonce })
  if (!joined.ok) return joined
  const { identity, root } = joined.value
  await writeFileAtomic(join(paths.metadata, 'root.json'), root, { mode: 0o600 })
  await writeFileAtomic(paths.identity, `${JSON.stringify(identity, null, 2)}\n`, { mode: 0o600 })
  return ok(identity)
}
