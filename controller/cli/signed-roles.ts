/**
 * What publishers have signed, by role: as the controller publishes it, verified by the client that
 * devices use, and as it was signed on this machine and waits to be published. Who signs a release is
 * decided here, by the place that this machine's key has in targets.
 */
import { join } from 'node:path'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { MANIFEST_FILE } from '../../shared/model/manifest.ts'
import { fetchBounded } from '../../shared/node/http-download.ts'
import { readPublicKey } from '../../shared/node/key-files.ts'
import { createTufFiles } from '../../shared/node/tuf-files.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import type { JsonObject } from '../../shared/signing/canonical-json.ts'
import { isSignedBy, type KeySet, openEnvelope } from '../../shared/signing/envelope.ts'
import { checkSync, keyId, keyIdentity } from '../../shared/signing/keys.ts'
import { modelRole } from '../../shared/signing/tuf/delegate.ts'
import type { Delegation } from '../../shared/signing/tuf/delegations.ts'
import { runTufAsync } from '../../shared/signing/tuf/effects.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import type { Root } from '../../shared/signing/tuf/metadata.ts'
import { nextTargets, type TargetEntry, targetsMetadata } from '../../shared/signing/tuf/publish.ts'
import { PRODUCTION_ROLE, STAGING_ROLE } from '../../shared/signing/tuf/release-target.ts'
import { roleFileName } from '../../shared/signing/tuf/store-layout.ts'
import { walkRoles } from '../../shared/signing/tuf/walk.ts'
import type { Context } from './context.ts'
import {
  type PublisherFolder,
  parseTargets,
  readSignedTargets,
  type SignedTargets,
} from './publisher-folder.ts'
import { withCountersOf } from './release-counters.ts'
import { METADATA_PACE, newestRoot, verifyRepository, waitingRoot } from './trusted-root.ts'

export interface SignedRoles {
  /** As the controller publishes them, or as it did when this machine last asked. */
  readonly published: ReadonlyMap<string, SignedTargets>
  /** Newer than what is published: signed here, perhaps not by enough keys. */
  readonly pending: ReadonlyMap<string, SignedTargets>
  /** The newer of the two. */
  readonly newest: ReadonlyMap<string, SignedTargets>
  /** What the newest targets delegate, in order of priority. */
  readonly delegations: readonly Delegation[]
  /** The next root, which waits at the controller for targets that its publishers sign. */
  readonly waitingRoot?: Root
  /** The controller said what is published; else what was signed here last may be it. */
  readonly isAsked: boolean
}

/** Errors (thrown): `trust.no_root`, `tuf.*`. */
export async function readRoles(
  context: Context,
  folder: PublisherFolder,
  offline: boolean,
): Promise<SignedRoles> {
  const trusted = offline ? undefined : await verifyRepository(context, folder)
  if (trusted !== undefined) {
    // Whoever renews what has expired must be able to read it.
    const files = createTufFiles(folder.verified, `${context.baseUrl}/tuf/metadata`, nodeVerifier)
    unwrap(await runTufAsync(walkRoles({ ...trusted, nowMs: 0 }), files))
  }
  const published = new Map<string, SignedTargets>()
  const pending = new Map<string, SignedTargets>()
  const read = async (role: string, path: string): Promise<void> => {
    const before = await readSignedTargets(join(folder.verified, roleFileName(role)))
    const own = await readSignedTargets(path)
    if (before !== undefined) published.set(role, before)
    if (own !== undefined && own.targets.version > (before?.targets.version ?? 0)) {
      pending.set(role, own)
    }
  }
  await read('targets', folder.targets)
  const top = pending.get('targets') ?? published.get('targets')
  const delegations = top?.targets.delegations?.roles ?? []
  for (const { name } of delegations) await read(name, folder.role(name))
  const isAsked = trusted !== undefined || (!offline && (await isEmpty(context)))
  const next = trusted && (await waitingRoot(context, folder))
  const newest = new Map([...published, ...pending])
  return {
    ...{ published, pending, newest, delegations, isAsked },
    ...(next !== undefined && { waitingRoot: next }),
  }
}

/** Nothing was published there yet. */
async function isEmpty({ baseUrl }: Context): Promise<boolean> {
  const url = `${baseUrl}/tuf/metadata/timestamp.json`
  const bytesMax = defaultTufLimits.timestampBytesMax
  return (await fetchBounded(url, { ...METADATA_PACE, bytesMax })).kind === 'absent'
}

/** The keys of a role. Whoever is a publisher in the next root only signs for that. Errors (thrown): `delegation.unknown`, `trust.no_root`. */
export async function keysOfRole(
  { delegations, waitingRoot: next }: SignedRoles,
  role: string,
  folder: PublisherFolder,
): Promise<KeySet> {
  if (role === 'targets') {
    const keySet = (await newestRoot(folder)).root.roles.targets
    return next === undefined || (await holdsKeyOf(keySet, folder)) ? keySet : next.roles.targets
  }
  const found = delegations.find(({ name }) => name === role)
  if (found !== undefined) return found.keySet
  throw new ProblemError({
    code: 'delegation.unknown',
    message: `Targets delegate to no role ${role}.`,
    expected: ['targets', ...delegations.map(({ name }) => name)].join(', '),
    found: role,
    next: 'linnet key show, or linnet key delegate',
  })
}

/**
 * Who signs a release of the model on this machine: the role that was asked for; else the model's own
 * where this key is in it; else staging, where the fleet has it; else targets. Errors (thrown):
 * `delegation.unknown`, `.path`, `key.not_publisher`, `key_file.*`.
 */
export async function roleFor(
  roles: SignedRoles,
  folder: PublisherFolder,
  release: { readonly model: string; readonly version: string },
  asked?: string,
): Promise<string> {
  const { delegations } = roles
  const path = `${release.model}/${release.version}/${MANIFEST_FILE}`
  const isPlain = asked === undefined && delegations.length === 0
  // Without a root nobody here can tell who may sign; the controller will.
  const root = isPlain ? await newestRoot(folder).catch(() => undefined) : undefined
  if (isPlain && root === undefined) return 'targets'
  const order = asked === undefined ? [modelRole(release.model), STAGING_ROLE, 'targets'] : [asked]
  const missed: string[] = []
  for (const role of order) {
    const delegation = delegations.find(({ name }) => name === role)
    const isThere = role === 'targets' || delegation !== undefined || asked !== undefined
    if (!isThere) continue
    const keySet = await keysOfRole(roles, role, folder)
    if (delegation !== undefined && !delegation.trustsPath(path)) {
      throw new ProblemError({
        code: 'delegation.path',
        message: `The role ${role} may not sign ${release.model}.`,
        expected: `a target like ${delegation.paths.join(', ')}`,
        found: path,
        next: 'linnet key show',
      })
    }
    if (await holdsKeyOf(keySet, folder)) return role
    missed.push(...keySet.keys.keys())
  }
  throw await notPublisher(missed, folder)
}

export async function notPublisher(
  keyids: readonly string[],
  folder: PublisherFolder,
): Promise<ProblemError> {
  return new ProblemError({
    code: 'key.not_publisher',
    message: 'The key on this machine may not sign this.',
    expected: [...new Set(keyids)].join(', '),
    found: keyId(await readPublicKey(folder.publisherKey)),
    next: 'linnet key delegate, or linnet key rotate --add-publisher FILE, where the keys are',
  })
}

/** Whether this machine's publisher key is one of them. Errors (thrown): `key_file.*`. */
export async function holdsKeyOf({ keys }: KeySet, folder: PublisherFolder): Promise<boolean> {
  const own = keyIdentity(await readPublicKey(folder.publisherKey))
  return [...keys.values()].some((key) => keyIdentity(key) === own)
}

/** The version that follows what is published; as `nextOf` says where nobody says what is. */
export function versionAfter(roles: SignedRoles, role: string): number {
  const before = (roles.isAsked ? roles.published : roles.newest).get(role)
  return (before?.targets.version ?? 0) + 1
}

/** How many distinct keys of the set signed. */
export function signaturesOn(bytes: Uint8Array, { keys }: Pick<KeySet, 'keys'>): number {
  const opened = unwrap(openEnvelope(bytes, jsonLimits(defaultTufLimits.targetsBytesMax)))
  const holds = [...keys].filter(([id, key]) =>
    checkSync(isSignedBy(opened, { keys: new Map([[id, key]]), threshold: 1 }), nodeVerifier),
  )
  return new Set(holds.map(([, key]) => keyIdentity(key))).size
}

/**
 * What the next version of a role is made from: the newest, but what waits for production is not a
 * base for anything else. It follows what is published: what was signed since is replaced by it, and
 * holds what that held. Where nobody says what is published, what was signed here and needs no more
 * signatures may be.
 */
export function nextOf(
  roles: SignedRoles,
  role: string,
  keySet: KeySet,
  change: {
    readonly expiresMs: number
    readonly add?: readonly TargetEntry[]
    readonly remove?: readonly string[]
  },
): JsonObject {
  const published = roles.published.get(role)
  const pending = roles.pending.get(role)
  const isDone =
    pending !== undefined &&
    (role === 'targets' || signaturesOn(pending.bytes, keySet) >= keySet.threshold)
  const base = isDone || role !== PRODUCTION_ROLE ? (pending ?? published) : published
  if (base === undefined) {
    return targetsMetadata({ version: 1, expiresMs: change.expiresMs, targets: change.add ?? [] })
  }
  const { remove = [] } = change
  const gone = [...base.targets.targets].filter(([path]) => remove.includes(path))
  const next = withCountersOf(nextTargets(base.signed, change), new Map(gone))
  const before = isDone && !roles.isAsked ? pending : published
  return { ...next, version: (before?.targets.version ?? 0) + 1 }
}

/** The files of a release in one role, as they were signed. */
export function entriesIn(
  signed: SignedTargets | undefined,
  { model, version }: { readonly model: string; readonly version: string },
): TargetEntry[] {
  return [...(signed?.targets.targets ?? [])]
    .filter(([path]) => path.startsWith(`${model}/${version}/`))
    .map(([path, { length, hashes, custom }]) => ({
      ...{ path, length, sha256: hashes.get('sha256') ?? '' },
      ...(custom !== undefined && { custom: custom as JsonObject }),
    }))
}

/** Whether a key of the set that is not this machine's signed. Errors (thrown): `key_file.*`. */
export async function signedByAnother(
  bytes: Uint8Array,
  { keys }: KeySet,
  folder: PublisherFolder,
): Promise<boolean> {
  const own = keyIdentity(await readPublicKey(folder.publisherKey))
  const others = [...keys].filter(([, key]) => keyIdentity(key) !== own)
  return signaturesOn(bytes, { keys: new Map(others) }) > 0
}

/**
 * What a role holds that waits at the controller for signatures; undefined where nothing does, or
 * nobody answers. Errors (thrown): `tuf.endless_data`, `tuf.slow_retrieval`, those of `parseTargets`.
 */
export async function waitingAt(
  { baseUrl }: Context,
  role: string,
): Promise<SignedTargets | undefined> {
  const url = `${baseUrl}/tuf/metadata/waiting.${roleFileName(role)}`
  const reply = await fetchBounded(url, {
    ...METADATA_PACE,
    bytesMax: defaultTufLimits.targetsBytesMax,
  })
  if (reply.kind === 'fetched') return parseTargets(reply.bytes)
  if (reply.kind === 'failed' && TOO_MUCH.includes(reply.problem.code)) {
    throw new ProblemError(reply.problem)
  }
  return undefined
}

const TOO_MUCH: readonly string[] = ['tuf.endless_data', 'tuf.slow_retrieval']
