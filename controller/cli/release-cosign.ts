/**
 * `linnet release cosign`: the signature of a second publisher on targets metadata that the first one
 * signed, on another machine. What differs from what the controller publishes is shown first, all of
 * it (signed-changes.ts): nobody signs what he has not seen.
 */
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { loadSigner } from '../../shared/node/key-files.ts'
import type { KeySet } from '../../shared/signing/envelope.ts'
import { defaultTufLimits } from '../../shared/signing/tuf/limits.ts'
import type { Root, Targets } from '../../shared/signing/tuf/metadata.ts'
import { addSignatures } from '../../shared/signing/tuf/publish.ts'
import { confirm } from './confirm.ts'
import type { Context } from './context.ts'
import { askPassphrase } from './passphrase.ts'
import { type PublisherFolder, parseTargets } from './publisher-folder.ts'
import { TARGETS_LIFETIME_MS } from './release-sign.ts'
import { rootChanges } from './root-changes.ts'
import { changesOf, requireKnownForm } from './signed-changes.ts'
import {
  holdsKeyOf,
  keysOfRole,
  notPublisher,
  readRoles,
  signaturesOn,
  signedByAnother,
  waitingAt,
} from './signed-roles.ts'
import { newestRoot } from './trusted-root.ts'

interface CosignOptions {
  /** `targets`, or a role that they delegate to. */
  readonly role: string
  /** Else what was signed here, or waits at the controller. */
  readonly file?: string
  readonly yes: boolean
}

/**
 * Errors (thrown): `release.not_signed`, `.not_next`, `.expiry`, `.unknown_form`, `key.id_mismatch`,
 * `key.not_publisher`, `key_file.*`, `cli.not_confirmed`, `tuf.*`.
 */
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
  if (waiting !== undefined) await requireProposer(waiting.bytes, keySet, folder, role)
  const next = parseTargets(unsigned)
  const { targets } = next
  requireKnownForm(role, next.signed)
  requireShortLife(targets)
  const shown = changesOf(roles.published.get(role), next)
  context.terminal.say(
    `Version ${targets.version} of ${role}, until ${new Date(targets.expiresMs).toISOString()}:`,
  )
  for (const change of [...shown.changes, ...shown.difference]) context.terminal.say(`  ${change}`)
  const root = role === 'targets' ? await tellRoot(context, folder, roles.waitingRoot) : undefined
  await confirm(context, 'Sign this?', options.yes)
  const bytes = await addSignature(folder, unsigned, keySet)
  await writeFileAtomic(file, bytes)
  const signatures = signaturesOn(bytes, keySet)
  const { threshold } = keySet
  const versions = { targetsVersion: targets.version, ...(role !== 'targets' && { role }) }
  const how = options.file === undefined ? '' : ' --targets FILE'
  const command =
    signatures >= threshold
      ? `linnet release publish${role === 'targets' ? how : ''}`
      : 'linnet release cosign, by somebody else'
  context.show({ ...versions, signatures, threshold, ...shown, ...(root && { root }) }, () =>
    [`Signed by ${signatures} of ${threshold}.`, `next: ${command}`].join('\n'),
  )
}

/** Enough signatures on the targets bring a root into force that waits for them. */
async function tellRoot(
  { terminal }: Context,
  folder: PublisherFolder,
  waiting: Root | undefined,
): Promise<{ readonly version: number; readonly changes: readonly string[] } | undefined> {
  if (waiting === undefined) return undefined
  const { version, expiresMs } = waiting
  const changes = rootChanges((await newestRoot(folder)).root, waiting)
  terminal.say(`With it version ${version} of root, until ${new Date(expiresMs).toISOString()}:`)
  for (const change of changes) terminal.say(`  ${change}`)
  return { version, changes }
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

/** Nobody completes what no other publisher began. Errors (thrown): `release.not_signed`. */
async function requireProposer(
  bytes: Uint8Array,
  keySet: KeySet,
  folder: PublisherFolder,
  role: string,
): Promise<void> {
  if (await signedByAnother(bytes, keySet, folder)) return
  throw new ProblemError({
    code: 'release.not_signed',
    message: `What waits for ${role} at the controller no other publisher has signed.`,
    expected: `a signature of another key of ${role}`,
    found: 'none that holds',
    next: 'sign nothing; ask the other publishers who put it there',
  })
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
