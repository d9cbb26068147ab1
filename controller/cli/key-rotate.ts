/**
 * `linnet key rotate`: the next root. It is made from the newest root that verifies, signed by the
 * root keys of both, and uploaded; the controller then signs with its new keys and gives every device
 * a new assignment. Run again after a failed upload, it goes on with the same keys.
 *
 * Where its publishers did not sign the published targets, the root waits at the controller: the
 * targets are signed again here, and when they have the signatures of enough of the new publishers,
 * root and targets go up together. So no client ever finds targets that its root does not trust.
 */
import { rename, stat } from 'node:fs/promises'
import { z } from 'zod'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { loadSigner, writeKeyFile } from '../../shared/node/key-files.ts'
import { generatePrivateKey } from '../../shared/node/signer-node.ts'
import { keyId, keyIdentity, type PublicKey, type SyncSigner } from '../../shared/signing/keys.ts'
import { directorOf } from '../../shared/signing/tuf/director.ts'
import type { Root } from '../../shared/signing/tuf/metadata.ts'
import {
  type RolePlan,
  type RootPlan,
  rootMetadata,
  signRole,
} from '../../shared/signing/tuf/publish.ts'
import type { Context } from './context.ts'
import { askPassphrase } from './passphrase.ts'
import { type PublisherFolder, parseTargets, type SignedTargets } from './publisher-folder.ts'
import { publishRoles } from './release-publish.ts'
import { TARGETS_LIFETIME_MS } from './release-sign.ts'
import { rootChanges } from './root-changes.ts'
import { nextOf, readRoles, signaturesOn } from './signed-roles.ts'
import { newestRoot, parseRoot, verifyRepository, waitingRoot } from './trusted-root.ts'

export const ROOT_LIFETIME_MS = 365 * 86_400_000
const ONLINE = ['director', 'snapshot', 'timestamp'] as const
const KEY_BYTES_MAX = 65_536
const KEY_ID_CHARS_MIN = 8

export interface RotateOptions {
  readonly director?: boolean
  readonly snapshot?: boolean
  readonly timestamp?: boolean
  readonly root?: boolean
  readonly publisher?: boolean
  /** Files with public keys of further publishers. */
  readonly addPublisher: readonly string[]
  readonly removePublisher: readonly string[]
  readonly threshold?: number
}

interface Rotated {
  readonly rootVersion: number
  readonly directorEpoch: number
  /** The next root, which waits for targets with more signatures. */
  readonly waitingRootVersion?: number
  /** What a root that waited would have changed, and this one, which took its place, does not. */
  readonly lost?: readonly string[]
}

/**
 * Errors (thrown): `trust.no_root`, `key_file.*`, `key.threshold`, `key.publisher_unknown`, `tuf.*`, and
 * the controller's.
 */
export async function rotateKeys(
  context: Context,
  folder: PublisherFolder,
  options: RotateOptions,
): Promise<Rotated> {
  const trusted = await verifyRepository(context, folder)
  const { root } = trusted ?? (await newestRoot(folder))
  const kept = await publisherKeys(root, options)
  const passphrase = await askPassphrase('Passphrase: ')
  const rootSigner = await loadSigner(folder.rootKey, passphrase)
  const nextRootSigner = options.root ? await nextKey(folder.rootKey, passphrase) : rootSigner
  const signers = [...new Map([rootSigner, nextRootSigner].map((s) => [keyId(s.key), s])).values()]
  const [old, fresh] = options.publisher
    ? [
        await loadSigner(folder.publisherKey, passphrase),
        await nextKey(folder.publisherKey, passphrase),
      ]
    : []
  const targets = old && fresh ? replaced(kept, old.key, fresh.key) : kept
  const offline = { root: replaced(root.roles.root, rootSigner.key, nextRootSigner.key), targets }
  const plan = await planFrom(context, root, options, offline)
  const { bytes } = unwrap(signRole('root', rootMetadata(plan), signers))
  const lost = await tellReplaced(context, folder, root, parseRoot(bytes))
  const { waiting = false } = unwrap(await context.client.call('rootPut', {}, bytes))
  if (waiting) {
    const own = old && fresh ? [old, fresh] : await ownSigners(folder, passphrase)
    const signed = await signTargetsAgain(context, folder, targets, own)
    if (signed === undefined || signed.signatures < targets.threshold) {
      tellWaiting(context, folder, plan, signed)
      const { directorEpoch } = unwrap(directorOf(root))
      const waitingRootVersion = plan.version
      return { rootVersion: root.version, directorEpoch, waitingRootVersion, ...lost }
    }
    await publishRoles(context, folder, new Map([['targets', signed.targets]]))
  }
  // Devices that are told a root from now on need not go through the keys that were taken away.
  await writeFileAtomic(folder.root, bytes)
  context.terminal.say(`Root version ${plan.version} is in place.`)
  if (old !== undefined) await tellDelegations(context, folder, old.key)
  await keepNext(folder.rootKey)
  await keepNext(folder.publisherKey)
  const directorEpoch = plan.director?.directorEpoch ?? 0
  return { rootVersion: plan.version, directorEpoch, ...lost }
}

/** The next root as data. Online keys stay those of the root before, but for the roles that are asked for. */
async function planFrom(
  { client, terminal }: Context,
  root: Root,
  options: RotateOptions,
  offline: { readonly root: RolePlan; readonly targets: RolePlan },
): Promise<RootPlan> {
  const roles = ONLINE.filter((role) => options[role] === true)
  const prepared =
    roles.length === 0
      ? []
      : unwrap(await client.call('onlineKeysPrepare', { body: { roles } })).keys
  const before = unwrap(directorOf(root))
  const present = { ...root.roles, director: before }
  const planOf = (role: (typeof ONLINE)[number]): RolePlan => {
    const { keys, threshold } = present[role]
    if (!roles.includes(role)) return { keys: [...keys.values()], threshold }
    const fresh = prepared.filter((entry) => entry.role === role)
    for (const { keyId: id } of fresh) terminal.say(`The new ${role} key of the controller: ${id}`)
    return { keys: fresh.map(({ key }) => key), threshold: 1 }
  }
  const director = planOf('director')
  const known = [...before.keys.values()].map(keyIdentity)
  const isSame = director.keys.every((key) => known.includes(keyIdentity(key)))
  // A thief may have signed the largest generation: a new key starts a new epoch.
  const directorEpoch = before.directorEpoch + (isSame ? 0 : 1)
  return {
    version: root.version + 1,
    expiresMs: Date.now() + ROOT_LIFETIME_MS,
    roles: { ...offline, snapshot: planOf('snapshot'), timestamp: planOf('timestamp') },
    director: { ...director, directorEpoch },
  }
}

function replaced(
  { keys, threshold }: Root['roles']['root'] | RolePlan,
  old: PublicKey,
  next: PublicKey,
): RolePlan {
  const gone = [old, next].map(keyIdentity)
  const kept = [...keys.values()].filter((key) => !gone.includes(keyIdentity(key)))
  return { keys: [...kept, next], threshold }
}

/** There is one root that waits at most, and each is made from the one in force. */
async function tellReplaced(
  context: Context,
  folder: PublisherFolder,
  root: Root,
  next: Root,
): Promise<Pick<Rotated, 'lost'>> {
  const waiting = await waitingRoot(context, folder)
  if (waiting === undefined) return {}
  const again = rootChanges(root, next)
  const lost = rootChanges(root, waiting).filter((change) => !again.includes(change))
  const { version } = waiting
  context.terminal.say(`Root version ${version} waits for signatures; this one takes its place.`)
  if (lost.length > 0) context.terminal.say('Of what that one changes, this one does not:')
  for (const change of lost) context.terminal.say(`  ${change}`)
  return { lost }
}

async function publisherKeys(root: Root, options: RotateOptions): Promise<RolePlan> {
  const present = [...root.roles.targets.keys.values()]
  const gone = options.removePublisher.map((prefix) => publisherCalled(prefix, present))
  const kept = present.filter((key) => !gone.includes(key))
  const added = await Promise.all(options.addPublisher.map(readPublic))
  const keys = [...new Map([...kept, ...added].map((key) => [keyIdentity(key), key])).values()]
  const threshold = options.threshold ?? root.roles.targets.threshold
  if (threshold <= keys.length) return { keys, threshold }
  throw new ProblemError({
    code: 'key.threshold',
    message: 'More signatures would be needed than there are publishers.',
    expected: `a threshold of at most ${keys.length}`,
    found: String(threshold),
    next: 'linnet key rotate --add-publisher FILE',
  })
}

function publisherCalled(prefix: string, keys: readonly PublicKey[]): PublicKey {
  const isLong = prefix.length >= KEY_ID_CHARS_MIN
  const [found, ...others] = keys.filter((key) => isLong && keyId(key).startsWith(prefix))
  if (found !== undefined && others.length === 0) return found
  throw new ProblemError({
    code: 'key.publisher_unknown',
    message:
      found === undefined ? 'No publisher has this key.' : 'Several publishers have such a key.',
    expected: `one of ${keys.map(keyId).join(', ')}, or its first ${KEY_ID_CHARS_MIN}`,
    found: prefix,
    next: 'linnet key show',
  })
}

const publicKeySchema = z.object({
  keytype: z.string(),
  scheme: z.string(),
  keyval: z.object({ public: z.string() }),
})

/** What `linnet key publisher` printed on another machine. Errors (thrown): `key.malformed`. */
export async function readPublic(path: string): Promise<PublicKey> {
  const bytes = await readFileBounded(path, KEY_BYTES_MAX)
  const text = Buffer.from(bytes ?? []).toString('utf8')
  try {
    return publicKeySchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new ProblemError(
      {
        code: 'key.malformed',
        message: 'This file holds no public key.',
        expected: 'what linnet key publisher prints',
        found: path,
      },
      { cause },
    )
  }
}

interface SignedAgain {
  readonly targets: SignedTargets
  /** By publishers of the next root. */
  readonly signatures: number
}

/** None where the publisher's key is not on this machine. */
async function ownSigners(folder: PublisherFolder, passphrase: string): Promise<SyncSigner[]> {
  if (!(await exists(folder.publisherKey))) return []
  return [await loadSigner(folder.publisherKey, passphrase)]
}

/**
 * The next targets, with what waits here, signed by this machine's keys: the one that goes as well, so
 * that a client which still has the root before trusts them too.
 */
async function signTargetsAgain(
  context: Context,
  folder: PublisherFolder,
  { keys }: RolePlan,
  signers: readonly SyncSigner[],
): Promise<SignedAgain | undefined> {
  if (signers.length === 0) return undefined
  const roles = await readRoles(context, folder, false)
  const keySet = { keys: new Map(keys.map((key) => [keyId(key), key])), threshold: 1 }
  const change = { expiresMs: Date.now() + TARGETS_LIFETIME_MS }
  const { bytes } = unwrap(signRole('targets', nextOf(roles, 'targets', keySet, change), signers))
  await writeFileAtomic(folder.targets, bytes)
  return { targets: parseTargets(bytes), signatures: signaturesOn(bytes, keySet) }
}

function tellWaiting(
  { terminal }: Context,
  folder: PublisherFolder,
  { version, roles }: RootPlan,
  signed: SignedAgain | undefined,
): void {
  const { threshold } = roles.targets
  terminal.say(`Root version ${version} waits: its publishers must sign the targets first.`)
  if (signed === undefined) {
    terminal.say('next: a publisher: linnet release sign --renew')
    return
  }
  const { targets } = signed.targets
  terminal.say(
    `Targets version ${targets.version}: signed by ${signed.signatures} of ${threshold}.`,
  )
  terminal.say(`next: take ${folder.targets} to another publisher; on that machine:`)
  terminal.say('  linnet release cosign --file targets.json')
  terminal.say('  linnet release publish --targets targets.json   (the root goes up with them)')
}

/** Root does not name the keys of delegated roles: who holds the old one may still sign there. */
async function tellDelegations(
  context: Context,
  folder: PublisherFolder,
  old: PublicKey,
): Promise<void> {
  const { delegations } = await readRoles(context, folder, true)
  const named = delegations.filter(({ keySet }) =>
    [...keySet.keys.values()].some((key) => keyIdentity(key) === keyIdentity(old)),
  )
  for (const { name } of named) {
    context.terminal.say(`The old key may still sign as ${name}: linnet key delegate, again.`)
  }
}

const nextPath = (path: string) => path.replace(/\.json$/, '.next.json')

/** The key that will replace the one in `path`: made once, until `keepNext`. */
async function nextKey(path: string, passphrase: string): Promise<SyncSigner> {
  const next = nextPath(path)
  if (!(await exists(next))) {
    await writeKeyFile(next, generatePrivateKey('ed25519'), { passphrase })
  }
  return loadSigner(next, passphrase)
}

/** The old key stays beside it under another name: it may still be asked for by an older root. */
async function keepNext(path: string): Promise<void> {
  if (!(await exists(nextPath(path)))) return
  await rename(path, path.replace(/\.json$/, `.old-${Date.now()}.json`))
  await rename(nextPath(path), path)
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
