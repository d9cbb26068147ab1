/**
 * The keys that the controller holds itself: director, snapshot, timestamp. Made at the first start,
 * one file each with mode 0600, unencrypted because nobody is there to type a passphrase; root names
 * their public halves. Stolen, they cannot make a device run what the publishers did not sign.
 */
import { join } from 'node:path'
import { ProblemError } from '../../shared/kernel/result.ts'
import { loadSigner, writeKeyFile } from '../../shared/node/key-files.ts'
import { generatePrivateKey } from '../../shared/node/signer-node.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'

export const ONLINE_ROLES = ['director', 'snapshot', 'timestamp'] as const
export type OnlineRole = (typeof ONLINE_ROLES)[number]
export type OnlineSigners = Readonly<Record<OnlineRole, SyncSigner>>

/** @throws ProblemError `key_file.malformed`, `.mismatch` for a file that is there but no key. */
export async function openOnlineSigners(home: string): Promise<OnlineSigners> {
  const signer = (role: OnlineRole) => openSigner(join(home, 'keys', `${role}.json`))
  return {
    director: await signer('director'),
    snapshot: await signer('snapshot'),
    timestamp: await signer('timestamp'),
  }
}

async function openSigner(path: string): Promise<SyncSigner> {
  try {
    return await loadSigner(path)
  } catch (cause) {
    const missing = cause instanceof ProblemError && cause.problem.code === 'key_file.missing'
    if (!missing) throw cause
    await writeKeyFile(path, generatePrivateKey('ed25519'))
    return loadSigner(path)
  }
}
