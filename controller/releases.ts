/**
 * From signed targets to releases: every manifest that the metadata list is read, checked against
 * the targets beside it, and becomes a release. A release is immutable: the same version with other
 * bytes is refused. What the targets no longer list is revoked.
 *
 * Invariant: metadata are served only when every file they name is here.
 */
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import {
  MANIFEST_BYTES_MAX,
  MANIFEST_FILE,
  type Manifest,
  manifestSchema,
  targetPath,
} from '../shared/model/manifest.ts'
import { releaseName } from '../shared/model/names.ts'
import { releaseTargetSchema } from '../shared/model/release-target.ts'
import type { WalkedRole } from '../shared/signing/tuf/walk.ts'
import type { StoredRelease } from './db/store.ts'
import type { Blobs } from './signing/blobs.ts'
import type { VouchedTarget } from './signing/role-uploads.ts'

export interface FoundRelease {
  readonly manifest: Manifest
  readonly manifestSha256: string
  /** Who vouches for all its files. */
  readonly role: WalkedRole
}

type Found = ReadonlyMap<string, VouchedTarget>

/**
 * Every release that a client finds. Errors: `release.artifact_missing`, `.manifest_malformed`,
 * `.target_mismatch`, `.duplicate_version`.
 */
export async function readReleases(
  targets: Found,
  known: ReadonlyMap<string, StoredRelease>,
  blobs: Blobs,
): Promise<Result<FoundRelease[]>> {
  const missing = await findMissing(targets, blobs)
  if (missing !== undefined) {
    return refuse('release.artifact_missing', `A file of the release is not here: ${missing}.`, {
      next: 'upload the artifacts before the targets: linnet release publish',
    })
  }
  const found: FoundRelease[] = []
  for (const [path, target] of targets) {
    if (!path.endsWith(`/${MANIFEST_FILE}`)) continue
    const release = await readRelease(path, target, targets, blobs)
    if (!release.ok) return release
    const changed = duplicate(release.value, known)
    if (changed !== undefined) return changed
    found.push(release.value)
  }
  return ok(found)
}

function duplicate(
  { manifest, manifestSha256 }: FoundRelease,
  known: ReadonlyMap<string, StoredRelease>,
): ReturnType<typeof refuse> | undefined {
  const former = known.get(releaseName(manifest))
  if (former === undefined || former.manifestSha256 === manifestSha256) return undefined
  const message = `${releaseName(manifest)} was published before with other content.`
  return refuse('release.duplicate_version', message, {
    expected: `manifest ${former.manifestSha256.slice(0, 12)}, or a new version`,
    found: `manifest ${manifestSha256.slice(0, 12)}`,
    next: 'create the release again with a higher version',
  })
}

async function findMissing(targets: Found, blobs: Blobs): Promise<string | undefined> {
  for (const [path, { file }] of targets) {
    const sha256 = file.hashes.get('sha256')
    if (sha256 === undefined || (await blobs.length(sha256)) !== file.length) return path
  }
  return undefined
}

async function readRelease(
  path: string,
  { file, role }: VouchedTarget,
  targets: Found,
  blobs: Blobs,
): Promise<Result<FoundRelease>> {
  const sha256 = file.hashes.get('sha256') ?? ''
  const bytes = await blobs.read(sha256, MANIFEST_BYTES_MAX)
  const manifest = manifestSchema.safeParse(jsonOf(bytes))
  if (!manifest.success) {
    const [issue] = manifest.error.issues
    return refuse('release.manifest_malformed', `The manifest ${path} cannot be read.`, {
      expected: `a linnet.manifest.v1 of at most ${MANIFEST_BYTES_MAX} bytes`,
      found: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
    })
  }
  const flaw = mismatch(path, manifest.data, targets, role)
  if (flaw === undefined) return ok({ manifest: manifest.data, manifestSha256: sha256, role })
  return refuse('release.target_mismatch', `Manifest and targets disagree: ${path}.`, {
    found: flaw,
    next: 'create the release again',
  })
}

function jsonOf(bytes: Uint8Array | undefined): unknown {
  try {
    return JSON.parse((bytes && fromUtf8(bytes)) ?? '')
  } catch {
    return undefined
  }
}

/** What the publishers signed twice must be the same: path, facts and files. */
function mismatch(
  path: string,
  manifest: Manifest,
  targets: Found,
  role: WalkedRole,
): string | undefined {
  const { model, version, variants } = manifest
  if (path !== targetPath(model, version, MANIFEST_FILE)) return releaseName(manifest)
  const files = variants.flatMap(({ artifact, golden }) => [artifact, golden])
  for (const { file, sha256, length } of files) {
    const target = targets.get(targetPath(model, version, file))
    if (target?.file.hashes.get('sha256') !== sha256 || target.file.length !== length) return file
    if (target.role !== role) return `${file} as of ${target.role.name}, not ${role.name}`
  }
  const misnamed = variants.find(({ name, artifact }) => artifact.file !== `${name}.onnx`)
  if (misnamed !== undefined) return `variant ${misnamed.name} as ${misnamed.artifact.file}`
  for (const file of [MANIFEST_FILE, ...files.map((artifact) => artifact.file)]) {
    const custom = targets.get(targetPath(model, version, file))?.file.custom
    const facts = releaseTargetSchema.safeParse(custom)
    const agrees = facts.success && facts.data.model === model && facts.data.version === version
    if (!agrees) return `signed facts of ${file}`
  }
  return undefined
}
