/**
 * `linnet release cosign`: the signature of a second publisher on targets metadata that the first one
 * signed, on another machine. What changes against what the controller publishes is shown first:
 * nobody signs what he has not seen.
 */
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { MANIFEST_FILE } from '../../shared/model/manifest.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { loadSigner } from '../../shared/node/key-files.ts'
import type { KeySet } from '../../shared/signing/envelope.ts'
import { defaultTufLimits } from '../../shared/signing/tuf/limits.ts'
import type { Targets } from '../../shared/signing/tuf/metadata.ts'
import { addSignatures } from '../../shared/signing/tuf/publish.ts'
import { confirm } from './confirm.ts'
import type { Context } from './context.ts'
import { askPassphrase } from './passphrase.ts'
import { type PublisherFolder, parseTargets } from './publisher-folder.ts'
import { TARGETS_LIFETIME_MS } from './release-sign.ts'
import {
  holdsKeyOf,
  keysOfRole,
  notPublisher,
  readRoles,
  signaturesOn,
  waitingAt,
} from './signed-roles.ts'

interface CosignOptions {
  /** `targets`, or a role that they delegate to. */
  readonly role: string
  /** Else what was signed here, or waits at the controller. */
  readonly file?: string
  readonly yes: boolean
}

/** Errors (thrown): `release.not_signed`, `.not_next`, `.expiry`, `key.not_publisher`, `key_file.*`, `tuf.*`. */
export async function cosignTargets(
  context: Context,
  folder: PublisherFolder,
  options: CosignOptions,
): Promise<void> {
  const { role } = options
  const roles = await readRoles(context, folder, false)
  const keySet = await keysOfRole(roles, role, folder)
  const own = role === 'targets' ? folder.targets : folder.role(role)
  const file = options.file ?? own
  const waiting = role === 'targets' || options.file ? undefined : await waitingAt(context, role)
  const unsigned = waiting?.bytes ?? (await readFileBounded(file, defaultTufLimits.targetsBytesMax))
  if (unsigned === undefined) {
    throw new ProblemError({
      code: 'release.not_signed',
      message: `There are no ${role} here that somebody signed before.`,
      expected: file,
      next: 'copy the folder publisher/ from the machine of the first publisher',
    })
  }
  const { targets } = parseTargets(unsigned)
  requireShortLife(targets)
  const changes = changesOf(roles.published.get(role)?.targets, targets)
  context.terminal.say(`Version ${targets.version} of ${role}:`)
  for (const change of changes) context.terminal.say(`  ${change}`)
  await confirm(context, 'Sign this?', options.yes)
  const bytes = await addSignature(folder, unsigned, keySet)
  await writeFileAtomic(file, bytes)
  const signatures = signaturesOn(bytes, keySet)
  const { threshold } = keySet
  const versions = { targetsVersion: targets.version, ...(role !== 'targets' && { role }) }
  const how = options.file === undefined ? '' : ' --targets FILE'
  const next =
    signatures >= threshold
      ? `linnet release publish${role === 'targets' ? how : ''}`
      : 'linnet release cosign, by somebody else'
  context.show({ ...versions, signatures, threshold, changes }, () =>
    [`Signed by ${signatures} of ${threshold}.`, `next: ${next}`].join('\n'),
  )
}

/** The same metadata with the signature of this machine's key. Errors (thrown): `key.not_publisher`, `key_file.*`. */
export async function addSignature(
  folder: PublisherFolder,
  bytes: Uint8Array,
  keySet: KeySet,
): Promise<Uint8Array> {
  if (!(await holdsKeyOf(keySet, folder))) throw await notPublisher([...keySet.keys.keys()], folder)
  const signer = await loadSigner(folder.publisherKey, await askPassphrase('Passphrase: '))
  return unwrap(addSignatures(bytes, [signer]))
}

/** Who may sign what else, where that is not as before. */
function delegationChanges(before: Targets | undefined, next: Targets): string[] {
  const texts = (targets: Targets | undefined) =>
    new Map(
      (targets?.delegations?.roles ?? []).map(({ name, keySet, paths, terminating }) => {
        const keys = [...keySet.keys.keys()].map((id) => id.slice(0, 12)).join(' ')
        const how = `${keySet.threshold} of ${keys}${terminating ? ', alone' : ''}`
        return [name, `delegates ${paths.join(' ')} to ${name}: ${how}`]
      }),
    )
  const [old, now] = [texts(before), texts(next)]
  const gone = [...old.keys()].filter((name) => !now.has(name))
  return [
    ...[...now].flatMap(([name, text]) => (old.get(name) === text ? [] : [text])),
    ...gone.map((name) => `takes the delegation to ${name} back`),
  ]
}

/**
 * What never expires can never be taken back from devices: nobody adds his signature to that, though
 * who passed it on (the controller, say) would like it. Errors (thrown): `release.expiry`.
 */
function requireShortLife({ expiresMs }: Targets): void {
  if (isShortLived(expiresMs)) return
  throw new ProblemError({
    code: 'release.expiry',
    message: 'These metadata would live too long.',
    expected: `an expiry within ${TARGETS_LIFETIME_MS / DAY_MS} days`,
    found: new Date(expiresMs).toISOString(),
    next: 'ask who signed first, and compare; linnet release sign makes new ones',
  })
}

/** Clocks of two machines may differ by a day. */
export function isShortLived(expiresMs: number): boolean {
  return expiresMs <= Date.now() + TARGETS_LIFETIME_MS + DAY_MS
}

const DAY_MS = 86_400_000

/** In words. Errors (thrown): `release.not_next`. */
export function changesOf(before: Targets | undefined, next: Targets): string[] {
  if (before !== undefined && next.version !== before.version + 1) {
    throw new ProblemError({
      code: 'release.not_next',
      message: 'These targets are not made from the ones that are published.',
      expected: `version ${before.version + 1}`,
      found: `version ${next.version}`,
      next: 'linnet release sign, again, on the machine of the first publisher',
    })
  }
  const releases = (targets: Targets | undefined) =>
    new Map(
      [...(targets?.targets ?? [])]
        .filter(([path]) => path.endsWith(`/${MANIFEST_FILE}`))
        .map(([path, { hashes, custom }]) => [
          path,
          JSON.stringify([hashes.get('sha256'), custom]),
        ]),
    )
  const [old, now] = [releases(before), releases(next)]
  const named = (path: string) => path.slice(0, -MANIFEST_FILE.length - 1).replace('/', '@')
  const added = [...now].filter(([path, digest]) => old.get(path) !== digest)
  const removed = [...old.keys()].filter((path) => !now.has(path))
  const changes = [
    ...added.map(([path]) => `${old.has(path) ? 'changes' : 'adds'} ${named(path)}`),
    ...removed.map((path) => `revokes ${named(path)}`),
    ...delegationChanges(before, next),
  ]
  return changes.length > 0 ? changes : ['changes no release; the expiry is later']
}
