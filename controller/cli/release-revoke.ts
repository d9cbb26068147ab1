/**
 * `linnet release revoke`: takes a release out of the targets metadata, signs them and publishes.
 * The files stay where they are: what devices verified and run is theirs to judge by the publishers'
 * policy. Whoever holds the online keys can hide the removal until the targets before it expire.
 */
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { loadSigner } from '../../shared/node/key-files.ts'
import { nextTargets, signRole } from '../../shared/signing/tuf/publish.ts'
import { confirm } from './confirm.ts'
import type { Context } from './context.ts'
import { askPassphrase } from './passphrase.ts'
import { type PublisherFolder, parseTargets } from './publisher-folder.ts'
import { publishTargets } from './release-publish.ts'
import { newestTargets, TARGETS_LIFETIME_MS } from './release-sign.ts'

export interface RevokeOptions {
  readonly yes: boolean
  /** Only sign: somebody else adds a signature, or publishes. */
  readonly offline: boolean
}

/** Errors (thrown): `release.not_found`, `key_file.*`, `tuf.*`, and the controller's. */
export async function revokeRelease(
  context: Context,
  folder: PublisherFolder,
  { model, version }: { model: string; version: string },
  { yes, offline }: RevokeOptions,
): Promise<void> {
  const release = `${model}@${version}`
  const base = await newestTargets(context, folder, offline)
  const remove = [...(base?.targets.targets.keys() ?? [])].filter((path) =>
    path.startsWith(`${model}/${version}/`),
  )
  if (base === undefined || remove.length === 0) {
    throw new ProblemError({
      code: 'release.not_found',
      message: `The targets list no release ${release}.`,
      next: `linnet release list ${model}`,
    })
  }
  await confirm(context, `${release}: no device may be given it again; rollouts of it end.`, yes)
  const expiresMs = Date.now() + TARGETS_LIFETIME_MS
  const signed = nextTargets(base.signed, { expiresMs, remove })
  const signer = await loadSigner(folder.publisherKey, await askPassphrase('Passphrase: '))
  const { bytes } = unwrap(signRole('targets', signed, [signer]))
  await writeFileAtomic(folder.targets, bytes)
  const next = parseTargets(bytes)
  if (!offline) await publishTargets(context, folder, next)
  const data = { release, targetsVersion: next.targets.version, published: !offline }
  context.show(data, () =>
    offline
      ? `Signed the revocation of ${release}.\nnext: linnet release publish`
      : `Revoked ${release}.`,
  )
}
