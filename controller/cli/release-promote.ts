/**
 * `linnet release promote`: one publisher's signature for bringing a release from staging to
 * production. The one that completes the threshold moves it; until then what is signed waits at the
 * controller. Nobody can promote what he was not shown: the waiting metadata must be those of
 * production with this release added, file for file as staging has them, and nothing else.
 */
import { ProblemError } from '../../shared/kernel/result.ts'
import { writeFileAtomic } from '../../shared/node/atomic-file.ts'
import type { KeySet } from '../../shared/signing/envelope.ts'
import { PRODUCTION_ROLE, STAGING_ROLE } from '../../shared/signing/tuf/release-target.ts'
import { confirm } from './confirm.ts'
import type { Context } from './context.ts'
import { type PublisherFolder, readSignedTargets, type SignedTargets } from './publisher-folder.ts'
import { addSignature, isShortLived } from './release-cosign.ts'
import { publishRoles, waitingText } from './release-publish.ts'
import { signInto, TARGETS_LIFETIME_MS } from './release-sign.ts'
import { changesOf, requireKnownForm } from './signed-changes.ts'
import {
  entriesIn,
  holdsKeyOf,
  keysOfRole,
  nextOf,
  notPublisher,
  readRoles,
  type SignedRoles,
  signaturesOn,
  signedByAnother,
  waitingAt,
} from './signed-roles.ts'

type Release = { readonly model: string; readonly version: string }

/**
 * Errors (thrown): `release.no_staging`, `.not_found`, `.promoted`, `key.not_publisher`, `key_file.*`,
 * `tuf.*`, and the controller's.
 */
export async function promoteRelease(
  context: Context,
  folder: PublisherFolder,
  release: Release,
  yes: boolean,
): Promise<void> {
  const roles = await readRoles(context, folder, false)
  requireStaged(roles, release)
  const keySet = await keysOfRole(roles, PRODUCTION_ROLE, folder)
  if (!(await holdsKeyOf(keySet, folder))) throw await notPublisher([...keySet.keys.keys()], folder)
  const name = `${release.model}@${release.version}`
  const proposal = await proposalOf(context, folder, roles, release, keySet)
  const shown = proposal && changesOf(roles.published.get(PRODUCTION_ROLE), proposal)
  for (const change of [...(shown?.changes ?? []), ...(shown?.difference ?? [])]) {
    context.terminal.say(`production ${change}`)
  }
  await confirm(context, `${name}: every device may be given it.`, yes)
  const expiresMs = Date.now() + TARGETS_LIFETIME_MS
  const path = folder.role(PRODUCTION_ROLE)
  if (proposal === undefined) {
    const add = entriesIn(roles.published.get(STAGING_ROLE), release)
    const fresh = { ...roles, pending: new Map() }
    await signInto(
      folder,
      PRODUCTION_ROLE,
      nextOf(fresh, PRODUCTION_ROLE, keySet, { expiresMs, add }),
    )
  } else await writeFileAtomic(path, await addSignature(folder, proposal.bytes, keySet))
  const signed = (await readSignedTargets(path))!
  const isMoved = signaturesOn(signed.bytes, keySet) >= keySet.threshold
  const files = new Map([[PRODUCTION_ROLE, signed]])
  if (isMoved) await leaveStaging(folder, roles, release, expiresMs, files)
  const { waiting } = await publishRoles(context, folder, files)
  context.show({ release: name, promoted: isMoved, waiting }, () =>
    isMoved
      ? `${name} is in production.`
      : waiting.map((role) => waitingText(role, name)).join('\n'),
  )
}

function requireStaged({ published, delegations }: SignedRoles, release: Release): void {
  const { model, version } = release
  const name = `${model}@${version}`
  const has = (role: string) => delegations.some((delegation) => delegation.name === role)
  if (!has(STAGING_ROLE) || !has(PRODUCTION_ROLE)) {
    throw new ProblemError({
      code: 'release.no_staging',
      message: 'This fleet has no staging: what is published may be given to every device.',
      expected: `the roles ${STAGING_ROLE} and ${PRODUCTION_ROLE} in targets`,
      found: delegations.map((delegation) => delegation.name).join(', ') || 'no delegations',
      next: 'linnet key delegate --staging',
    })
  }
  if (entriesIn(published.get(PRODUCTION_ROLE), release).length > 0) {
    throw new ProblemError({
      code: 'release.promoted',
      message: `${name} is in production already.`,
      next: `linnet rollout create --model ${model} --to ${version}`,
    })
  }
  if (entriesIn(published.get(STAGING_ROLE), release).length > 0) return
  throw new ProblemError({
    code: 'release.not_found',
    message: `${name} is not in staging.`,
    next: `linnet release sign ${name}, then linnet release publish`,
  })
}

/**
 * What others signed for exactly this release and version of production; undefined: nothing fits.
 * Errors (thrown): `release.unknown_form`.
 */
async function proposalOf(
  context: Context,
  folder: PublisherFolder,
  roles: SignedRoles,
  release: Release,
  keySet: KeySet,
): Promise<SignedTargets | undefined> {
  const before = roles.published.get(PRODUCTION_ROLE)
  const wanted = [
    ...entriesOf(before),
    ...entriesIn(roles.published.get(STAGING_ROLE), release).map(textOf),
  ].toSorted()
  const waiting = await waitingAt(context, PRODUCTION_ROLE)
  const isProposed = waiting && (await signedByAnother(waiting.bytes, keySet, folder))
  const candidates = [
    isProposed ? waiting : undefined,
    await readSignedTargets(folder.role(PRODUCTION_ROLE)),
  ]
  const proposal = candidates.find((candidate) => {
    if (candidate?.targets.version !== (before?.targets.version ?? 0) + 1) return false
    if (!isShortLived(candidate.targets.expiresMs)) return false
    return entriesOf(candidate).toSorted().join() === wanted.join()
  })
  if (proposal !== undefined) requireKnownForm(PRODUCTION_ROLE, proposal.signed)
  return proposal
}

function entriesOf(signed: SignedTargets | undefined): string[] {
  const paths = [...(signed?.targets.targets.keys() ?? [])]
  const releases = new Set(paths.map((path) => path.split('/').slice(0, 2).join('/')))
  return [...releases].flatMap((name) => {
    const [model = '', version = ''] = name.split('/')
    return entriesIn(signed, { model, version }).map(textOf)
  })
}

function textOf({ path, length, sha256, custom }: ReturnType<typeof entriesIn>[number]): string {
  const facts = Object.entries(custom ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([path, length, sha256, facts])
}

/** It stands in one place only; where this key may not sign staging, it stays there as well. */
async function leaveStaging(
  folder: PublisherFolder,
  roles: SignedRoles,
  release: Release,
  expiresMs: number,
  files: Map<string, SignedTargets>,
): Promise<void> {
  const keySet = await keysOfRole(roles, STAGING_ROLE, folder)
  if (keySet.threshold > 1 || !(await holdsKeyOf(keySet, folder))) return
  const published = { ...roles, pending: new Map() }
  const remove = entriesIn(roles.published.get(STAGING_ROLE), release).map(({ path }) => path)
  await signInto(
    folder,
    STAGING_ROLE,
    nextOf(published, STAGING_ROLE, keySet, { expiresMs, remove }),
  )
  files.set(STAGING_ROLE, (await readSignedTargets(folder.role(STAGING_ROLE)))!)
}
