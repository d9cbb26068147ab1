/**
 * `linnet release revoke`: takes a release out of the targets metadata, signs them and publishes.
 * The files stay where they are: what devices verified and run is theirs to judge by the publishers'
 * policy. Whoever holds the online keys can hide the removal until the targets before it expire.
 */
import { ProblemError } from '../../shared/kernel/result.ts'
import { STAGING_ROLE } from '../../shared/signing/tuf/release-target.ts'
import { confirm } from './confirm.ts'
import type { Context } from './context.ts'
import { type PublisherFolder, readSignedTargets, type SignedTargets } from './publisher-folder.ts'
import { publishRoles, waitingText } from './release-publish.ts'
import { signInto, TARGETS_LIFETIME_MS } from './release-sign.ts'
import { entriesIn, holdsKeyOf, keysOfRole, nextOf, readRoles } from './signed-roles.ts'

export interface RevokeOptions {
  readonly yes: boolean
  /** Only sign: somebody else adds a signature, or publishes. */
  readonly offline: boolean
}

/**
 * Errors (thrown): `release.not_found`, `key.not_publisher` where another key signed it, `key_file.*`,
 * `tuf.*`, and the controller's.
 */
export async function revokeRelease(
  context: Context,
  folder: PublisherFolder,
  { model, version }: { model: string; version: string },
  { yes, offline }: RevokeOptions,
): Promise<void> {
  const release = `${model}@${version}`
  const roles = await readRoles(context, folder, offline)
  const listing = [...roles.newest].flatMap(([role, signed]) => {
    const remove = entriesIn(signed, { model, version }).map(({ path }) => path)
    return remove.length === 0 ? [] : [{ role, remove }]
  })
  if (listing.length === 0) {
    throw new ProblemError({
      code: 'release.not_found',
      message: `The targets list no release ${release}.`,
      next: `linnet release list ${model}`,
    })
  }
  for (const { role } of roles.delegations.length === 0 ? [] : listing) {
    if (await holdsKeyOf(await keysOfRole(roles, role, folder), folder)) continue
    throw anotherKey(release, role)
  }
  await confirm(context, `${release}: no device may be given it again; rollouts of it end.`, yes)
  const expiresMs = Date.now() + TARGETS_LIFETIME_MS
  const files = new Map<string, SignedTargets>()
  for (const { role, remove } of listing) {
    const keySet = await keysOfRole(roles, role, folder)
    await signInto(folder, role, nextOf(roles, role, keySet, { expiresMs, remove }))
    const path = role === 'targets' ? folder.targets : folder.role(role)
    files.set(role, (await readSignedTargets(path))!)
  }
  const sent = offline ? undefined : await publishRoles(context, folder, files)
  const { waiting = [] } = sent ?? {}
  const targetsVersion = [...files.values()][0]!.targets.version
  const data = { release, roles: [...files.keys()], targetsVersion, published: !offline, waiting }
  context.show(data, () =>
    offline
      ? `Signed the revocation of ${release}.\nnext: linnet release publish`
      : [
          waiting.length === 0 ? `Revoked ${release}.` : `Signed the revocation of ${release}.`,
          ...waiting.map((role) => waitingText(role)),
        ].join('\n'),
  )
}

function anotherKey(release: string, role: string): ProblemError {
  const owner = role === STAGING_ROLE ? '--staging' : `--model ${role.replace(/^model-/, '')}`
  return new ProblemError({
    code: 'key.not_publisher',
    message: `${release} was signed by the keys of ${role}, not by the one on this machine.`,
    expected: `a key of ${role}`,
    found: 'another key',
    next: `there: linnet release revoke; or, with the targets key: linnet key undelegate ${owner}`,
  })
}
