/**
 * The keys that the controller holds itself: director, snapshot, timestamp. Made at the first start,
 * one file each with mode 0600, unencrypted because nobody is there to type a passphrase; root names
 * their public halves. Stolen, they cannot make a device run what the publishers did not sign.
 *
 * Rotation: the next keys are made beside the present ones (`director.next.json`) and wait for a root
 * that names them. Invariant: the files of the present keys are replaced only after that root is
 * stored; a crash between the two is healed at the start, where the stored root decides.
 */
import { access, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../../shared/kernel/assert.ts'
import { ProblemError } from '../../shared/kernel/result.ts'
import { syncFolder } from '../../shared/node/atomic-file.ts'
import { loadSigner, writeKeyFile } from '../../shared/node/key-files.ts'
import { generatePrivateKey } from '../../shared/node/signer-node.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'

export const ONLINE_ROLES = ['director', 'snapshot', 'timestamp'] as const
export type OnlineRole = (typeof ONLINE_ROLES)[number]
export type OnlineSigners = Readonly<Record<OnlineRole, SyncSigner>>

export interface OnlineKeys {
  /** What signs now. */
  signers(): OnlineSigners
  /** What waits for a root that names it; undefined where nothing does. */
  next(): OnlineSigners | undefined
  /** Makes new keys for these roles, the others stay; the same again while they wait. */
  prepare(roles: readonly OnlineRole[]): Promise<OnlineSigners>
  /** The next keys sign from here on; `keep` follows once the root that names them is stored. */
  switchToNext(): void
  keep(): Promise<void>
}

/** @throws ProblemError `key_file.malformed`, `.mismatch` for a file that is there but no key. */
export async function openOnlineKeys(home: string): Promise<OnlineKeys> {
  const folder = join(home, 'keys')
  const pathOf = (role: OnlineRole, which: '' | '.next' = '') =>
    join(folder, `${role}${which}.json`)
  const load = async (which: '' | '.next'): Promise<OnlineSigners> => {
    const signer = async (role: OnlineRole) => {
      const isThere = which === '.next' && (await exists(pathOf(role, '.next')))
      return openSigner(pathOf(role, isThere ? '.next' : ''))
    }
    return {
      director: await signer('director'),
      snapshot: await signer('snapshot'),
      timestamp: await signer('timestamp'),
    }
  }
  const waiting = async () => {
    const found = await Promise.all(ONLINE_ROLES.map((role) => exists(pathOf(role, '.next'))))
    return found.includes(true)
  }
  let present = await load('')
  let next = (await waiting()) ? await load('.next') : undefined
  return {
    signers: () => present,
    next: () => next,
    async prepare(roles) {
      for (const role of roles) await openSigner(pathOf(role, '.next'))
      next = await load('.next')
      return next
    },
    switchToNext() {
      assert(next !== undefined, 'there are keys that wait')
      present = next
      next = undefined
    },
    async keep() {
      for (const role of ONLINE_ROLES) {
        if (await exists(pathOf(role, '.next'))) await rename(pathOf(role, '.next'), pathOf(role))
      }
      await syncFolder(folder)
    },
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
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
