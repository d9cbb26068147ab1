/**
 * The root that is served, and the next one while it waits. A root under which the served targets
 * lack signatures would stop every client: it waits for the targets that its publishers sign, and
 * goes up with them. Checks are root-upload.ts, the rest of the repository is repository.ts.
 */
import { ok, type Result } from '../../shared/kernel/result.ts'
import type { SyncVerifier } from '../../shared/signing/keys.ts'
import type { Root } from '../../shared/signing/tuf/metadata.ts'
import { rolePath } from '../../shared/signing/tuf/store-layout.ts'
import type { Ledger } from '../ledger.ts'
import type { OnlineKeys } from './online-keys.ts'
import type { Versions } from './online-metadata.ts'
import { waitingFile } from './role-uploads.ts'
import { type CheckedRoot, checkRoot, isEnoughFor, namesKeys } from './root-upload.ts'

export interface ServedRoot {
  root(): Root | undefined
  /** Errors: those of `checkRoot`. */
  put(bytes: Uint8Array, nowMs: number): Result<{ version: number; waiting?: boolean }>
  /** The root that waits, where it waits for these targets. */
  waitingFor(targets: Uint8Array | undefined, nowMs: number): CheckedRoot | undefined
  install(next: CheckedRoot, nowMs: number): void
}

export function openServedRoot(
  stored: Root | undefined,
  parts: {
    readonly ledger: Ledger
    readonly keys: OnlineKeys
    readonly verifier: SyncVerifier
    readonly versions: Pick<Versions, 'set'>
    /** Those that are served. */
    readonly targets: () => Uint8Array | undefined
  },
): ServedRoot {
  const { ledger, keys, verifier } = parts
  let root = stored

  // A crash came between the root that names the next keys and their files.
  const prepared = keys.next()
  if (root !== undefined && prepared !== undefined && !namesKeys(root, keys.signers())) {
    if (namesKeys(root, prepared)) keys.switchToNext()
  }

  const putFile = (path: string, bytes: Uint8Array, nowMs: number): void =>
    ledger.put('metadata', { file: path, bytes, storedAtMs: nowMs })
  const install = (next: CheckedRoot, nowMs: number): void => {
    root = next.root
    if (next.signers !== keys.signers()) keys.switchToNext()
    putFile(rolePath('root', root.version), next.bytes, nowMs)
    parts.versions.set('root', root.version)
    const waited = ledger.rows.metadata.get(waitingFile('root'))
    if (waited !== undefined) ledger.remove('metadata', waited)
  }

  return {
    root: () => root,
    install,
    put(bytes, nowMs) {
      const checked = checkRoot(bytes, root, { verifier, keys, nowMs })
      if (!checked.ok) return checked
      const { version } = checked.value.root
      const targets = parts.targets()
      if (targets !== undefined && !isEnoughFor(checked.value.root, targets, verifier)) {
        putFile(waitingFile('root'), bytes, nowMs)
        return ok({ version, waiting: true })
      }
      install(checked.value, nowMs)
      return ok({ version })
    },
    waitingFor(targets, nowMs) {
      const bytes = ledger.rows.metadata.get(waitingFile('root'))?.bytes
      if (bytes === undefined || targets === undefined) return undefined
      const next = checkRoot(bytes, root, { verifier, keys, nowMs })
      return next.ok && isEnoughFor(next.value.root, targets, verifier) ? next.value : undefined
    },
  }
}
