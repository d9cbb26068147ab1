/**
 * `linnet release sign`: adds a release to the targets metadata, or to the role that they delegate its
 * model to, and signs with the publisher's key. The base is the newest of what the controller
 * publishes, verified by the same client that devices use, and what was signed here before; without a
 * controller what is at hand.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { MANIFEST_FILE, type Manifest, manifestSchema } from '../../shared/model/manifest.ts'
import type { ReleaseTarget } from '../../shared/model/release-target.ts'
import { writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { loadSigner } from '../../shared/node/key-files.ts'
import type { JsonObject } from '../../shared/signing/canonical-json.ts'
import type { KeySet } from '../../shared/signing/envelope.ts'
import { releaseTargets, signRole, type TargetEntry } from '../../shared/signing/tuf/publish.ts'
import { PRODUCTION_ROLE, STAGING_ROLE } from '../../shared/signing/tuf/release-target.ts'
import type { Context } from './context.ts'
import { askPassphrase } from './passphrase.ts'
import { type PublisherFolder, parseTargets } from './publisher-folder.ts'
import { highestCounter } from './release-counters.ts'
import {
  holdsKeyOf,
  keysOfRole,
  nextOf,
  notPublisher,
  readRoles,
  roleFor,
  type SignedRoles,
} from './signed-roles.ts'

/** Whoever holds the online keys can hide a revocation for at most so long. */
export const TARGETS_LIFETIME_MS = 14 * 86_400_000

export interface SignOptions {
  /** Releases of the model with a lower counter are superseded. */
  readonly minCounter: number
  readonly offline: boolean
  /** Else the one that the key's place in targets says. */
  readonly role?: string
  /** What devices do when it is revoked and they have nothing else; absent: they serve on. */
  readonly onRevoked?: 'serve' | 'stop'
}

/**
 * The same with a later expiry: one role, or all that this machine's key may sign. Errors (thrown):
 * `release.not_found`, `key.not_publisher`, `key_file.*`, `tuf.*`.
 */
export async function renewTargets(
  context: Context,
  folder: PublisherFolder,
  options: { readonly offline: boolean; readonly role?: string },
): Promise<void> {
  const roles = await readRoles(context, folder, options.offline)
  const named = options.role === undefined ? await ownRoles(roles, folder) : [options.role]
  const renewed: Record<string, number> = {}
  for (const role of named) {
    const keySet = await keysOfRole(roles, role, folder)
    if (!(await holdsKeyOf(keySet, folder)))
      throw await notPublisher([...keySet.keys.keys()], folder)
    const signed = nextOf(roles, role, keySet, { expiresMs: Date.now() + TARGETS_LIFETIME_MS })
    renewed[role] = await signInto(folder, role, signed)
  }
  if (named.length === 0) {
    throw new ProblemError({ code: 'release.not_found', message: 'Nothing was signed yet.' })
  }
  const { targets: targetsVersion } = renewed
  const text = Object.entries(renewed).map(([role, version]) => `${role} as version ${version}`)
  context.show({ ...(targetsVersion && { targetsVersion }), renewed }, () =>
    [`Renewed ${text.join(', ')}.`, NEXT].join('\n'),
  )
}

/** Those that there are, and that the key of this machine may sign. */
async function ownRoles(roles: SignedRoles, folder: PublisherFolder): Promise<string[]> {
  if (roles.delegations.length === 0) return roles.newest.has('targets') ? ['targets'] : []
  const own: string[] = []
  for (const role of ['targets', ...roles.delegations.map(({ name }) => name)]) {
    if (await holdsKeyOf(await keysOfRole(roles, role, folder), folder)) own.push(role)
  }
  return own
}

const NEXT = 'next: linnet release publish (where two must sign, linnet release cosign before)'

/** Signs with the publisher key of this machine and keeps it for `publish`. @returns its version */
export async function signInto(
  folder: PublisherFolder,
  role: string,
  signed: JsonObject,
): Promise<number> {
  const signer = await loadSigner(folder.publisherKey, await askPassphrase('Passphrase: '))
  const { bytes } = unwrap(signRole(role, signed, [signer]))
  await writeFileAtomic(role === 'targets' ? folder.targets : folder.role(role), bytes)
  return parseTargets(bytes).targets.version
}

/**
 * Errors (thrown): `release.not_created`, `.already_signed`, `.changed`, `delegation.unknown`,
 * `delegation.path`, `key.not_publisher`, `trust.no_root`, `tuf.*`.
 */
export async function signRelease(
  context: Context,
  folder: PublisherFolder,
  name: { model: string; version: string },
  options: SignOptions,
): Promise<void> {
  const manifest = await readManifest(folder.release(name.model, name.version), name)
  const roles = await readRoles(context, folder, options.offline)
  const role = await roleFor(roles, folder, name, options.role)
  refuseSigned(roles, name)
  const releaseCounter = 1 + highestCounter(roles, name.model)
  const { minCounter, onRevoked } = options
  const policy = onRevoked === undefined ? {} : { onRevoked }
  const facts = { releaseCounter, minCounter, ...policy }
  const add = await entriesOf(folder, manifest.manifest, manifest.bytes, facts)
  const expiresMs = Date.now() + TARGETS_LIFETIME_MS
  const keySet = role === 'targets' ? NO_KEYS : await keysOfRole(roles, role, folder)
  const version = await signInto(folder, role, nextOf(roles, role, keySet, { expiresMs, add }))
  const proposed = role === STAGING_ROLE && (await propose(folder, roles, add, expiresMs))
  const release = `${name.model}@${name.version}`
  context.show(
    { release, role, targetsVersion: version, releaseCounter, files: add.length, proposed },
    () => `Signed ${release} as ${role} version ${version}.\n${NEXT}`,
  )
}

/** `nextOf` asks for the keys of delegated roles only. */
const NO_KEYS: KeySet = { keys: new Map(), threshold: 1 }

/**
 * The first signature for production comes with the one for staging, so that a second publisher's
 * promotes the release; where another release waits for that, it waits on.
 */
async function propose(
  folder: PublisherFolder,
  roles: SignedRoles,
  add: readonly TargetEntry[],
  expiresMs: number,
): Promise<boolean> {
  if (roles.pending.has(PRODUCTION_ROLE) || !roles.published.has(PRODUCTION_ROLE)) return false
  const keySet = await keysOfRole(roles, PRODUCTION_ROLE, folder)
  if (keySet.threshold < 2 || !(await holdsKeyOf(keySet, folder))) return false
  const next = nextOf(roles, PRODUCTION_ROLE, keySet, { expiresMs, add })
  await signInto(folder, PRODUCTION_ROLE, next)
  return true
}

async function readManifest(
  folder: string,
  { model, version }: { model: string; version: string },
): Promise<{ manifest: Manifest; bytes: Uint8Array }> {
  const bytes = await readFile(join(folder, MANIFEST_FILE)).catch(() => {
    throw new ProblemError({
      code: 'release.not_created',
      message: `There is no release ${model}@${version} here.`,
      expected: folder,
      next: `linnet release create --name ${model} --version ${version} --model FILE.onnx`,
    })
  })
  return { manifest: manifestSchema.parse(JSON.parse(bytes.toString('utf8'))), bytes }
}

/** Every file is hashed again: what is signed is what lies in the folder now. */
async function entriesOf(
  folder: PublisherFolder,
  manifest: Manifest,
  manifestBytes: Uint8Array,
  facts: Pick<ReleaseTarget, 'releaseCounter' | 'minCounter' | 'onRevoked'>,
): Promise<TargetEntry[]> {
  const { model, version } = manifest
  const release = (profiles: readonly string[]) => ({
    ...{ model, version, profiles: [...profiles] },
    ...facts,
  })
  const entries = [
    ...releaseTargets(release([]), [
      {
        file: MANIFEST_FILE,
        sha256: sha256Hex(manifestBytes),
        length: manifestBytes.length,
      },
    ]),
  ]
  for (const { artifact, golden, profiles } of manifest.variants) {
    for (const file of [artifact, golden]) {
      const bytes = await readFile(join(folder.release(model, version), file.file))
      if (sha256Hex(bytes) !== file.sha256) {
        throw new ProblemError({
          code: 'release.changed',
          message: `${file.file} is not what the manifest says.`,
          expected: file.sha256,
          found: sha256Hex(bytes),
          next: 'create the release again, with a new version',
        })
      }
    }
    entries.push(...releaseTargets(release(profiles), [artifact, golden]))
  }
  return entries
}

function refuseSigned(
  { newest, pending }: SignedRoles,
  { model, version }: { model: string; version: string },
): void {
  const path = `${model}/${version}/${MANIFEST_FILE}`
  const found = [...newest].find(([, { targets }]) => targets.targets.has(path))
  if (found === undefined) return
  const [role, { targets }] = found
  throw new ProblemError({
    code: 'release.already_signed',
    message: `${model}@${version} is signed already.`,
    found: `${role} version ${targets.version}${pending.has(role) ? ', not published' : ''}`,
    next: `linnet release publish ${model}@${version}`,
  })
}
