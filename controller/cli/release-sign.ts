/**
 * `linnet release sign`: adds a release to the targets metadata and signs them with the publisher's
 * key. The base is the newest of what the controller publishes, verified by the same client that
 * devices use, and what was signed here before; without a controller the latter alone.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { MANIFEST_FILE, type Manifest, manifestSchema } from '../../shared/model/manifest.ts'
import { writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { loadSigner } from '../../shared/node/key-files.ts'
import type { JsonObject } from '../../shared/signing/canonical-json.ts'
import {
  nextTargets,
  releaseTargets,
  signRole,
  type TargetEntry,
  targetsMetadata,
} from '../../shared/signing/tuf/publish.ts'
import { roleFileName } from '../../shared/signing/tuf/store-layout.ts'
import type { Context } from './context.ts'
import { askPassphrase } from './passphrase.ts'
import {
  type PublisherFolder,
  parseTargets,
  readSignedTargets,
  type SignedTargets,
} from './publisher-folder.ts'
import { verifyRepository } from './trusted-root.ts'

/** Whoever holds the online keys can hide a revocation for at most so long. */
export const TARGETS_LIFETIME_MS = 14 * 86_400_000

export interface SignOptions {
  /** Releases of the model with a lower counter are superseded. */
  readonly minCounter: number
  readonly offline: boolean
}

/** The same targets with a later expiry. Errors (thrown): `release.not_found`, `key_file.*`, `tuf.*`. */
export async function renewTargets(
  context: Context,
  folder: PublisherFolder,
  offline: boolean,
): Promise<void> {
  const base = await newestTargets(context, folder, offline)
  if (base === undefined) {
    throw new ProblemError({ code: 'release.not_found', message: 'Nothing was signed yet.' })
  }
  const signed = nextTargets(base.signed, { expiresMs: Date.now() + TARGETS_LIFETIME_MS })
  const version = await signTargets(folder, signed)
  context.show({ targetsVersion: version }, () => `Renewed as version ${version}.\n${NEXT}`)
}

const NEXT = 'next: linnet release publish (where two must sign, linnet release cosign before)'

async function signTargets(folder: PublisherFolder, signed: JsonObject): Promise<number> {
  const signer = await loadSigner(folder.publisherKey, await askPassphrase('Passphrase: '))
  const { bytes } = unwrap(signRole('targets', signed, [signer]))
  await writeFileAtomic(folder.targets, bytes)
  return parseTargets(bytes).targets.version
}

/** Errors (thrown): `release.not_created`, `.already_signed`, `.changed`, `trust.no_root`, `tuf.*`. */
export async function signRelease(
  context: Context,
  folder: PublisherFolder,
  name: { model: string; version: string },
  options: SignOptions,
): Promise<void> {
  const manifest = await readManifest(folder.release(name.model, name.version), name)
  const base = await newestTargets(context, folder, options.offline)
  refuseSigned(base, name)
  const counter = 1 + highestCounter(base, name.model)
  const add = await entriesOf(folder, manifest.manifest, manifest.bytes, {
    releaseCounter: counter,
    minCounter: options.minCounter,
  })
  const expiresMs = Date.now() + TARGETS_LIFETIME_MS
  const signed =
    base === undefined
      ? targetsMetadata({ version: 1, expiresMs, targets: add })
      : nextTargets(base.signed, { expiresMs, add })
  const version = await signTargets(folder, signed)
  const release = `${name.model}@${name.version}`
  context.show(
    { release, targetsVersion: version, releaseCounter: counter, files: add.length },
    () => `Signed ${release} as targets version ${version}.\n${NEXT}`,
  )
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
  counters: { releaseCounter: number; minCounter: number },
): Promise<TargetEntry[]> {
  const { model, version } = manifest
  const release = (profiles: readonly string[]) => ({
    ...{ model, version, profiles: [...profiles] },
    ...counters,
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

/** @returns undefined where nothing was ever signed. */
export async function newestTargets(
  context: Context,
  folder: PublisherFolder,
  offline: boolean,
): Promise<SignedTargets | undefined> {
  const local = await readSignedTargets(folder.targets)
  const remote = offline ? undefined : await verifiedTargets(context, folder)
  if (remote === undefined) return local
  return local !== undefined && local.targets.version > remote.targets.version ? local : remote
}

/** undefined where the controller publishes nothing yet, or cannot be reached. */
async function verifiedTargets(
  context: Context,
  folder: PublisherFolder,
): Promise<SignedTargets | undefined> {
  if ((await verifyRepository(context, folder)) === undefined) return undefined
  return parseTargets(await readFile(join(folder.verified, roleFileName('targets'))))
}

function refuseSigned(
  base: SignedTargets | undefined,
  { model, version }: { model: string; version: string },
): void {
  if (!base?.targets.targets.has(`${model}/${version}/${MANIFEST_FILE}`)) return
  throw new ProblemError({
    code: 'release.already_signed',
    message: `${model}@${version} is signed already.`,
    found: `targets version ${base.targets.version}`,
    next: `linnet release publish ${model}@${version}`,
  })
}

function highestCounter(base: SignedTargets | undefined, model: string): number {
  let highest = 0
  for (const [path, { custom }] of base?.targets.targets ?? []) {
    const counter = (custom as { releaseCounter?: unknown } | undefined)?.releaseCounter
    if (path.startsWith(`${model}/`) && typeof counter === 'number') {
      highest = Math.max(highest, counter)
    }
  }
  return highest
}
